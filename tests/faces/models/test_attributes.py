"""Facts about the attribute networks: sizes, modes, regions. Their numbers are compared with a twin elsewhere."""

import numpy as np
import pytest

from tinyface import Tensor, backend, no_grad, ops
from tinyface.faces.models import AttributeNet, SegmentationNet, attributes
from tinyface.faces.models.attributes import HEADS_NEEDED, MODES
from tinyface.faces.models.masks import region_masks

SIZE = (55, 45)


def image(size=SIZE, count=2, seed=0):
    return Tensor(np.random.default_rng(seed).standard_normal((count, 3, *size)).astype(np.float32))


def heads(size=SIZE, count=2, seed=1):
    """Logits as a segmentation network would give them, coarse to fine."""
    rng = np.random.default_rng(seed)
    scales = [[-(-length // factor) for length in size] for factor in (8, 4, 2, 1)]
    return [Tensor(rng.standard_normal((count, 7, *scale)).astype(np.float32)) for scale in scales]


def landmarks(size=SIZE, count=2, seed=2):
    """Five points per image, in its pixels."""
    return np.random.default_rng(seed).uniform((0, 0), size[::-1], (count, 5, 2)).astype(np.float32)


def build(mode, width=2, seed=0):
    backend.seed(seed)
    return AttributeNet(width, mode, SIZE)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("size", [SIZE, (218, 178), (16, 33), (9, 9)])
def test_every_mode_gives_40_logits_at_any_size(mode, size):
    assert build(mode)(image(size), heads(size), landmarks(size)).shape == (2, 40)


@pytest.mark.parametrize("mode", MODES)
def test_every_parameter_gets_a_gradient(mode):
    net = build(mode)
    targets = np.random.default_rng(2).integers(0, 2, (2, 40))
    ops.sigmoid_cross_entropy(net(image(), heads(), landmarks()), targets).backward()
    for name, parameter in net.named_parameters():
        assert parameter.grad is not None, name
        # One number per attribute added to all regions alike changes no softmax: that bias has nothing to learn.
        if name != "head.localization.bias":
            assert np.abs(parameter.grad).max() > 0, name


@pytest.mark.parametrize("mode", ["ssp", "ssg", "naive", "concat", "joint"])
def test_what_the_mode_needs_is_asked_for(mode):
    net, needed = build(mode), HEADS_NEEDED[mode]
    with pytest.raises(
        ValueError, match=f"{mode} needs {needed} maps of the segmentation network, got {needed - 1}"
    ):
        net(image(), heads()[: needed - 1])
    with pytest.raises(ValueError, match=f"needs {needed} maps"):
        net(image())
    all_given = net.eval()(image(), heads()).data
    np.testing.assert_array_equal(net(image(), heads()[:needed]).data, all_given)


@pytest.mark.parametrize("given", [None, np.zeros((1, 5, 2)), np.zeros((2, 4, 2))])
def test_bbox_asks_for_landmarks_and_looks_at_no_head(given):
    net = build("bbox").eval()
    with pytest.raises(ValueError, match=r"bbox needs landmarks \(2, 5, 2\), got"):
        net(image(), heads(), given)
    alone = net(image(), landmarks=landmarks()).data
    np.testing.assert_array_equal(alone, net(image(), heads(), landmarks()).data)
    assert np.abs(alone - net(image(), landmarks=landmarks(seed=7)).data).max() > 1e-4


@pytest.mark.parametrize("mode", ["avg", "spp"])
def test_networks_without_regions_look_at_no_head(mode):
    net = build(mode).eval()
    np.testing.assert_array_equal(net(image()).data, net(image(), heads()).data)


@pytest.mark.parametrize(
    ("mode", "used"), [("ssp", [2]), ("ssg", [1]), ("naive", [3]), ("concat", [2]), ("joint", [1, 2])]
)
def test_only_the_head_of_the_paper_is_used(mode, used):
    net = build(mode).eval()
    before = net(image(), heads()).data
    for index in range(4):
        changed = heads()
        changed[index] = heads(seed=9)[index]
        same = np.array_equal(net(image(), changed).data, before)
        assert same == (index not in used), index


def test_unknown_mode():
    with pytest.raises(ValueError, match="'gap' is none of avg, ssp, ssg"):
        AttributeNet(2, "gap")


def test_twelve_layers_and_the_channels_of_section_3_1_1():
    net = AttributeNet(4)
    shapes = [p.shape for name, p in net.named_parameters() if name.endswith("conv.weight")]
    channels = [4, 4, 8, 8, 16, 16, 32, 32, 32, 32, 64, 64]
    assert [shape[0] for shape in shapes] == channels
    assert [shape[1] for shape in shapes] == [3, *channels[:-1]]
    assert net.head.linear.weight.shape == (40, 64)


@pytest.mark.parametrize("mode, regions", [("ssp", 7), ("joint", 7), ("bbox", 16)])
def test_weights_are_shares_of_the_regions(mode, regions):
    net = build(mode).eval()
    net(image(), heads(), landmarks())
    assert net.region_weights.shape == (2, regions, 40)
    np.testing.assert_allclose(net.region_weights.sum(axis=1), 1, rtol=1e-5)


def test_ssp_score_is_the_weighted_sum_of_what_each_region_says():
    net = build("ssp")
    rng = np.random.default_rng(3)
    x = Tensor(rng.standard_normal((2, 32, 4, 3)).astype(np.float32))
    score = net.head(x, region_masks(heads()[2])).data
    masks = region_masks(heads()[2]).data.astype(np.float64)
    f = np.einsum("nrij,ncij->nrc", masks, x.data) / masks.sum(axis=(2, 3))[..., None]
    s = f @ net.head.recognition.weight.data.T + net.head.recognition.bias.data
    l = f @ net.head.localization.weight.data.T + net.head.localization.bias.data
    w = np.exp(l) / np.exp(l).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(score, (w * s).sum(axis=1), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(net.region_weights, w, rtol=1e-4)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("size", [SIZE, (33, 16)])
def test_features_are_the_map_that_the_head_sees(mode, size):
    net, seen = build(mode).eval(), []
    head = net.head.forward
    net.head.forward = lambda x, *masks: seen.append(x) or head(x, *masks)
    given = {"landmarks": np.full((2, 5, 2), 7.0)} if mode == "bbox" else {}
    with no_grad():
        net(image(size), heads(size), **given)
        found = net.features(image(size), heads(size))
    assert found.shape == (2, 32, -(-size[0] // 16), -(-size[1] // 16))
    np.testing.assert_array_equal(found.data, seen[0].data)


def test_ssg_normalises_behind_the_gate(monkeypatch):
    """A region's share of the map must not matter: without the norm its activations would vanish (3.1.3)."""
    net = build("ssg")
    norm_act, normalised = attributes.norm_act, []

    def listen(x, norm, act):
        normalised.append(norm(x).data)
        return norm_act(x, norm, act)

    monkeypatch.setattr(attributes, "norm_act", listen)
    size = (218, 178)  # the larger the map, the smaller the values behind the gate
    net(image(size), heads(size))
    assert normalised[0].shape == (2, 7 * 8, 55, 45)
    np.testing.assert_allclose(normalised[0].std(axis=(0, 2, 3)), 1, rtol=1e-3)


def test_the_segmentation_net_gets_no_gradient_when_its_heads_have_no_history():
    net = build("ssp")
    given = heads()
    net(image(), given).backward(np.ones((2, 40)))
    assert all(head.grad is None for head in given)


@pytest.mark.parametrize("mode", MODES)
def test_evaluation_looks_at_each_image_alone(mode):
    net = build(mode)
    net(image(), heads(), landmarks())  # running statistics leave their first values
    net.eval()
    with no_grad():
        both = net(image(), heads(), landmarks()).data
        alone = net(
            Tensor(image().data[:1]), [Tensor(head.data[:1]) for head in heads()], landmarks()[:1]
        ).data
    np.testing.assert_allclose(both[:1], alone, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("mode", MODES)
def test_config_builds_the_same_network_again(mode):
    net = build(mode)
    again = AttributeNet(**net.config)
    again.load_state_dict(net.state_dict())
    given = image(), heads(), landmarks()
    np.testing.assert_array_equal(net.eval()(*given).data, again.eval()(*given).data)


@pytest.mark.parametrize("mode", MODES)
def test_beginning_with_a_segmentation_net_takes_its_encoder_and_nothing_else(mode):
    segmentation_net, net = SegmentationNet(2, SIZE), build(mode)
    segmentation_net.encoder.conv11.norm.running_mean += 3  # its statistics come along
    before, theirs = net.state_dict(), segmentation_net.encoder.state_dict()
    net.load_encoder_from(segmentation_net)
    fresh = []
    if mode in ("ssg", "joint"):  # the gate has its own
        fresh += [f"encoder.conv32.{name}" for name in ("norm", "act", "merge")]
    if mode == "naive":  # ten channels come in
        fresh += ["encoder.conv11.conv"]
    for name, array in net.state_dict().items():
        taken = name.startswith("encoder.") and not name.startswith(tuple(fresh))
        expected = theirs[name.removeprefix("encoder.")] if taken else before[name]
        np.testing.assert_array_equal(array, expected, err_msg=name)


def test_a_segmentation_net_of_another_width_is_refused():
    with pytest.raises(ValueError, match="width 2 can't load the encoder of one of width 3"):
        build("avg").load_encoder_from(SegmentationNet(3, SIZE))
