"""The summary against Table 1 of Kalayeh et al. 2017, and against the networks' own parameters."""

import numpy as np
import pytest

from tinyface import Tensor, nn, ops
from tinyface.checkpoint import Checkpoint, save
from tinyface.core import Function
from tinyface.errors import TinyfaceError
from tinyface.faces.models import ANet, AttributeNet, AttributeSVM, LNet, SegmentationNet
from tinyface.faces.models.attributes import MODES
from tinyface.faces.presets import PRESETS
from tinyface.faces.summary import load_networks, networks_of
from tinyface.summary import format_summary, summarise

TABLE_1 = """
Conv11 64×218×178, Conv12 64×218×178, MaxPool1 64×109×89,
Conv21 128×109×89, Conv22 128×109×89, MaxPool2 128×55×45,
Conv31 256×55×45, Conv32 256×55×45, MaxPool3 256×28×23,
Conv41 512×28×23, Conv42 512×28×23,
Deconv41 512×28×23, Deconv42 512×28×23, Deconv43 7×28×23, UpSample3 512×55×45,
Deconv31 256×55×45, Deconv32 256×55×45, Deconv33 7×55×45, UpSample2 256×109×89,
Deconv21 128×109×89, Deconv22 128×109×89, Deconv23 7×109×89, UpSample1 128×218×178,
Deconv11 64×218×178, Deconv12 64×218×178, Deconv13 7×218×178
"""
ENCODER = TABLE_1[: TABLE_1.index("Conv41")]
BEHIND_IT = """
Conv41 512×28×23, Conv42 512×28×23, Conv43 512×28×23, Conv44 512×28×23, MaxPool4 512×14×12,
Conv51 1024×14×12, Conv52 1024×14×12"""
# fmt: off
SIZES = {
    "avg": ENCODER + BEHIND_IT + ", GlobalAvgPool 1024, Linear 40",
    "ssp": ENCODER + BEHIND_IT + ", RegionMasks 7×14×12, RegionPool 7×1024, Localization 7×40, Recognition 40",
    "ssg": ENCODER.replace(
        "MaxPool3 256×28×23", "RegionMasks 7×55×45, RegionGate 1792×55×45, MaxPool3 1792×28×23, Merge 256×28×23"
    ) + BEHIND_IT + ", GlobalAvgPool 1024, Linear 40",
    "spp": ENCODER + BEHIND_IT + ", PyramidPool 5120, Linear 40",
    "naive": "RegionMasks 10×218×178, " + ENCODER + BEHIND_IT + ", GlobalAvgPool 1024, Linear 40",
    "bbox": ENCODER + BEHIND_IT + ", RegionPool 16×1024, Localization 16×40, Recognition 40",
    "concat": ENCODER + BEHIND_IT + ", RegionMasks 7×14×12, RegionPool 7168, Linear 40",
}
SIZES["joint"] = SIZES["ssg"].replace("GlobalAvgPool 1024, Linear 40", SIZES["ssp"].split("Conv52 1024×14×12, ")[1])
TITLES = {
    "avg": "Basic", "ssp": "SSP", "ssg": "SSG", "spp": "SPP", "naive": "Naive", "bbox": "BBox",
    "concat": "Concatenated SSP", "joint": "Joint SSP and SSG",
}
# fmt: on


def sizes(rows):
    return [f"{row.name} {'×'.join(map(str, row.shape))}" for row in rows]


def listed(text):
    return [entry.strip() for entry in text.split(",") if entry.strip()]


@pytest.fixture(scope="module")
def paper():
    """Title → (network, rows) at the paper's size."""
    return {title: (network, summarise(network)) for title, network in networks_of("paper")}


def test_segmentation_network_is_table_1(paper):
    _, rows = paper["Segmentation network"]
    assert sizes(rows) == listed(TABLE_1)
    assert {row.name: row.operations for row in rows if row.name in ("Conv11", "MaxPool1", "Deconv43")} == {
        "Conv11": ["Conv", "BN", "PReLU"],
        "MaxPool1": ["MaxPool"],
        "Deconv43": ["Deconv"],
    }


@pytest.mark.parametrize("mode", MODES)
def test_attribute_networks_have_the_papers_sizes(paper, mode):
    title = TITLES[mode] + " attribute network"
    assert sizes(paper[title][1]) == listed(SIZES[mode])


def test_basic_network_has_23_6_million_parameters(paper):
    _, rows = paper["Basic attribute network"]
    assert sum(row.parameters for row in rows) == 23_613_800
    assert "23.6 M parameters" in format_summary("Basic attribute network", rows)


def test_every_parameter_is_counted_once(paper):
    for title, (network, rows) in paper.items():
        assert sum(row.parameters for row in rows) == sum(p.size for p in network.parameters()), title


def test_multiply_adds(paper):
    _, rows = paper["SSG attribute network"]
    by_name = {row.name: row.multiply_adds for row in rows}
    assert by_name["Conv12"] == 64 * 64 * 9 * 218 * 178
    assert by_name["Merge"] == 1792 * 256 * 28 * 23
    assert by_name["Linear"] == 1024 * 40
    assert by_name["MaxPool1"] == 0
    _, rows = paper["SSP attribute network"]
    assert {row.name: row.multiply_adds for row in rows}["RegionPool"] == 7 * 1024 * 14 * 12
    _, rows = paper["Segmentation network"]
    assert {row.name: row.multiply_adds for row in rows}["Deconv31"] == 512 * 256 * 9 * 55 * 45


def test_a_transposed_convolution_with_a_stride_multiplies_once_per_input_pixel():
    class Doubling(nn.Module):
        config = {"size": (6, 5)}

        def __init__(self):
            self.deconv1 = nn.ConvTranspose2d(3, 2, 4, stride=2, padding=1)

        def forward(self, x):
            return ops.reshape(self.deconv1(x), (1, -1))

    first, second = summarise(Doubling())
    assert (first.name, first.operations, first.shape) == ("Deconv1", ["Deconv 4×4"], (2, 12, 10))
    assert first.multiply_adds == 3 * 6 * 5 * 2 * 16
    assert second.shape == (240,) and not second.operations


def test_head_norm_gives_table_1s_wording():
    rows = summarise(SegmentationNet(width=2, size=(16, 16), head_norm=True))
    assert {row.name: row.operations for row in rows}["Deconv13"] == ["Deconv", "BN", "PReLU"]


def test_another_size_and_another_type():
    network = AttributeNet(2, "ssp", (55, 45)).to(np.float64)
    assert sizes(summarise(network, (109, 89)))[0] == "Conv11 2×109×89"
    assert sizes(summarise(network))[0] == "Conv11 2×55×45"


@pytest.mark.parametrize("training", [True, False])
def test_the_network_and_the_engine_are_left_as_they_were(training):
    network = SegmentationNet(width=2, size=(16, 16)).train(training)
    before, calls = network.state_dict(), (nn.Module.__call__, Function.__call__)
    summarise(network)
    with pytest.raises(ValueError):
        summarise(network, (0, 8))
    assert (nn.Module.__call__, Function.__call__) == calls
    assert network.training is training and network.deconv13.training is training
    after = network.state_dict()
    assert all((before[name] == after[name]).all() for name in before)
    heads = network.train()(Tensor(np.zeros((2, 3, 16, 16), np.float32)))
    assert heads[0].requires_grad


def test_text_is_aligned_and_adds_up():
    title, network = next(networks_of("tiny"))
    rows = summarise(network)
    first, *table = format_summary(title, rows).split("\n")
    assert first.startswith("Segmentation network: 0.1 M parameters")
    assert len({len(line) for line in table}) == 1
    assert len(table) == len(rows) + 5
    total = f"{sum(p.size for p in network.parameters()):,}"
    assert total in table[-1]


def test_all_presets_and_checkpoints(tmp_path):
    expected = ["Segmentation network", *(f"{TITLES[mode]} attribute network" for mode in MODES)]
    expected += ["ResNet-18 attribute network"]
    expected += ["SSPL's network, backbone encoder", "SSPL's network, backbone resnet18", "LNet", "ANet"]
    assert [title for title, _ in networks_of("small")] == expected
    tiny = PRESETS["tiny"]
    sizes = {"LNet": tiny.wild.lnet_size, "ANet": tiny.wild.anet_size}
    widths = {"LNet": tiny.wild.lnet_width, "ANet": tiny.wild.anet_width}
    for title, network in networks_of("tiny"):
        assert network.config["size"] == sizes.get(title, tiny.size)
        assert network.config["width"] == widths.get(title, tiny.width)
    save(tmp_path / "net.h5", Checkpoint(AttributeNet(2, "ssg", (16, 16))))
    [(title, network)] = load_networks([tmp_path / "net.h5"])
    assert title == f"{tmp_path / 'net.h5'}: SSG attribute network" and network.mode == "ssg"


def test_lnet_and_anet(tmp_path):
    files = {"o.h5": LNet(1, (48, 48), 2), "a.h5": ANet(2, (80, 80), features=5)}
    for name, network in files.items():
        save(tmp_path / name, Checkpoint(network))
    tables = {
        title.split(": ")[1]: summarise(net) for title, net in load_networks([tmp_path / n for n in files])
    }
    assert (
        sizes(tables["LNet"])[-2:] == ["Conv5 8×6×6", "Tags 40"]
        and sizes(tables["LNet"])[0] == "Conv1 3×24×24"
    )
    rows = {row.name: row for row in tables["ANet"]}
    assert (rows["Conv3"].shape, rows["Conv4"].shape, rows["Full"].shape) == ((6, 6, 6), (8, 4, 4), (5,))
    assert rows["Conv3"].multiply_adds == 6 * 36 * 4 * 9 and rows["Conv4"].multiply_adds == 8 * 16 * 6 * 4
    for network, title in ((files["o.h5"], "LNet"), (files["a.h5"], "ANet")):
        assert sum(row.parameters for row in tables[title]) == sum(p.size for p in network.parameters())
    save(tmp_path / "svm.h5", Checkpoint(AttributeSVM(5)))
    with pytest.raises(TinyfaceError, match="have no layers"):
        list(load_networks([tmp_path / "svm.h5"]))
