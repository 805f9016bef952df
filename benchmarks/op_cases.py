"""Single operations, tinyface's and PyTorch's, at the sizes that they have in the networks."""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial

import numpy as np
import torch
import torch.nn.functional as F
import torch_networks as twins
from pairs import FORMATS, check_close

from tinyface import Tensor, backend, nn, ops
from tinyface.faces.models.attributes import REGIONS
from tinyface.faces.models.encoder import ConvBlock

# Table 1 and section 3.1: the name under which a layer is first met, its level (how often the image was halved
# before it), channels in and out in units of the width (0: the image's 3, REGIONS: a head).
CONVOLUTIONS = (
    ("Conv11", 0, 0, 1),
    ("Conv12", 0, 1, 1),
    ("Conv21", 1, 1, 2),
    ("Conv22", 1, 2, 2),
    ("Conv31", 2, 2, 4),
    ("Conv32", 2, 4, 4),
    ("Conv41", 3, 4, 8),
    ("Conv42, 43, 44", 3, 8, 8),
    ("Conv51", 4, 8, 16),
    ("Conv52", 4, 16, 16),
)
HEAD = "head"
DECONVOLUTIONS = (
    ("Deconv41, 42", 3, 8, 8),
    ("Deconv43", 3, 8, HEAD),
    ("Deconv31", 2, 8, 4),
    ("Deconv32", 2, 4, 4),
    ("Deconv33", 2, 4, HEAD),
    ("Deconv21", 1, 4, 2),
    ("Deconv22", 1, 2, 2),
    ("Deconv23", 1, 2, HEAD),
    ("Deconv11", 0, 2, 1),
    ("Deconv12", 0, 1, 1),
    ("Deconv13", 0, 1, HEAD),
)


@dataclass
class OpCase:
    """One operation on given arrays.

    ours, theirs: functions of the arrays as tensors. passes: name of what is timed → which of the arrays need
    their gradients; None for the forward pass, which records as in training.
    maps: how many of the arrays, from the first on, are feature maps, whose memory layout each side chooses.
    modules: the two sides' layers, where the operation has parameters of its own.
    """

    name: str
    what: str
    ours: Callable
    theirs: Callable
    arrays: list
    passes: dict
    maps: int = 1
    modules: tuple = ()
    trained: tuple = field(init=False)  # arrays with a gradient in any pass, so also in forward

    def __post_init__(self):
        self.trained = tuple(sorted({i for indices in self.passes.values() for i in indices or ()}))

    def sides(self, which):
        """{side: (prepare, run)} of one pass, for `stopwatch.alternate`."""
        wanted = self.trained if self.passes[which] is None else self.passes[which]
        sides = {"ours": _OurSide(self, wanted)}
        for name in FORMATS:
            twin_of = None if not self.modules else self.modules[1]
            sides[name] = _TheirSide(self, wanted, FORMATS[name], twin_of)
        _check_same(f"ops/{self.name} {which}", sides)
        if self.passes[which] is None:
            return {name: (side.forget, side.forward) for name, side in sides.items()}
        return {name: (side.forward, side.backward) for name, side in sides.items()}


class _OurSide:
    def __init__(self, case, wanted):
        self.function, self.modules = case.ours, case.modules[:1]
        arrays = [engine_layout(a) if i < case.maps else a for i, a in enumerate(case.arrays)]
        self.inputs = [Tensor(a, requires_grad=i in wanted) for i, a in enumerate(arrays)]
        self.wanted = [self.inputs[i] for i in wanted]
        self.upstream = None

    def forget(self):
        for tensor in self.wanted:
            tensor.grad = None
        for module in self.modules:
            module.zero_grad()

    def forward(self, _=None):
        self.forget()
        y = self.function(*self.inputs)
        if self.upstream is None:
            self.upstream = engine_layout(upstream(y.shape))
        return y

    def backward(self, y):
        y.backward(self.upstream)

    def results(self):
        y = self.forward()
        self.backward(y)
        return [y.numpy(), *(tensor.grad for tensor in self.wanted)]


class _TheirSide:
    def __init__(self, case, wanted, memory_format, module):
        self.function, self.module = case.theirs, module
        self.format = {"memory_format": memory_format}
        self.inputs = [self._tensor(a) for a in case.arrays]
        self.wanted = [self.inputs[i].requires_grad_() for i in wanted]
        self.upstream = None

    def _tensor(self, array):
        y = torch.from_numpy(np.array(array))
        return y.contiguous(**self.format) if y.ndim == 4 else y

    def forget(self):
        for tensor in self.wanted:
            tensor.grad = None
        if self.module:
            self.module.zero_grad()

    def forward(self, _=None):
        self.forget()
        y = self.function(*self.inputs)
        if self.upstream is None:
            self.upstream = self._tensor(upstream(tuple(y.shape)))
        return y

    def backward(self, y):
        y.backward(self.upstream)

    def results(self):
        y = self.forward()
        self.backward(y)
        return [y.detach().numpy(), *(tensor.grad.numpy() for tensor in self.wanted)]


def upstream(shape):
    """The gradient that comes from above."""
    return np.asarray(np.random.default_rng(1).standard_normal(shape, np.float32))


def _check_same(name, sides):
    ours = sides["ours"].results()
    for memory_format in FORMATS:
        for index, (a, b) in enumerate(zip(ours, sides[memory_format].results(), strict=True)):
            check_close(f"{name}: result {index}", a, b)


def engine_layout(array):
    """A feature map in the memory layout that tinyface's own ops return; other arrays as they are.

    Within a network an op takes what an op made. The order of the axes in memory is looked up, not assumed.
    """
    if array.ndim != 4:
        return array
    probe = ops.conv2d(Tensor(np.ones((3, 4, 5, 6), np.float32)), Tensor(np.ones((4, 4, 1, 1), np.float32)))
    order = sorted(range(4), key=lambda axis: -probe.data.strides[axis])
    return np.ascontiguousarray(array.transpose(order)).transpose(np.argsort(order))


# ---------------------------------------------------------------- the cases


def op_cases(scale):
    """{name: function that makes the OpCase} at a scale of `pairs.SCALES`; what is not wanted costs nothing."""
    cases = {}
    for name, *layer in CONVOLUTIONS:
        cases[name] = partial(_convolution, name, *layer, scale)
    for name, *layer in DECONVOLUTIONS:
        cases[name] = partial(_deconvolution, name, *layer, scale)
    for layer, pool, level, channels in (("Conv12", "MaxPool1", 0, 1), ("Conv32", "MaxPool3", 2, 4)):
        of_map = {
            f"BN of {layer}": _batch_norm,
            f"PReLU of {layer}": _prelu,
            f"BN and PReLU of {layer}": _after_convolution,
            pool: _max_pool,
        }
        cases |= {name: partial(make, name, level, channels, scale) for name, make in of_map.items()}
    of_scale = {
        "UpSample1": _upsample,
        "RegionPool": _region_pool,
        "RegionGate": _region_gate,
        "SoftmaxCrossEntropy": _softmax_cross_entropy,
    }
    return cases | {name: partial(make, name, scale) for name, make in of_scale.items()}


def _random(*shape):
    return np.random.default_rng(0).standard_normal(shape, np.float32)


def _size(scale, level):
    """(height, width) after so many ceil-mode halvings."""
    return tuple(-(-length // 2**level) for length in scale.size)


def _channels(count, scale):
    return REGIONS if count == HEAD else count * scale.width or 3


def _arrows(before, after, size, batch):
    return f"{before} → {after}, {size[0]}×{size[1]}, batch {batch}"


def _shape(x):
    return f"{x.shape[1]} × {x.shape[2]}×{x.shape[3]}, batch {len(x)}"


def _convolution(name, level, before, after, scale):
    before, after, batch = _channels(before, scale), _channels(after, scale), scale.attribute_batch
    passes = {"forward": None, "input gradient": (0,), "weight gradient": (1,)}
    if name == "Conv11":
        del passes["input gradient"]  # nobody asks for the gradient of an image
    return OpCase(
        name,
        _arrows(before, after, _size(scale, level), batch),
        lambda x, w: ops.conv2d(x, w, padding=1),
        lambda x, w: F.conv2d(x, w, padding=1),
        [_random(batch, before, *_size(scale, level)), _random(after, before, 3, 3)],
        passes,
    )


def _deconvolution(name, level, before, after, scale):
    before, after, batch = _channels(before, scale), _channels(after, scale), scale.segmentation_batch
    return OpCase(
        name,
        _arrows(before, after, _size(scale, level), batch),
        lambda x, w: ops.conv_transpose2d(x, w, padding=1),
        lambda x, w: F.conv_transpose2d(x, w, padding=1),
        [_random(batch, before, *_size(scale, level)), _random(before, after, 3, 3)],
        {"forward": None, "input gradient": (0,), "weight gradient": (1,)},
    )


def _map(level, channels, scale, batch=None):
    return _random(batch or scale.attribute_batch, channels * scale.width, *_size(scale, level))


def _batch_norm(name, level, channels, scale):
    x = _map(level, channels, scale)
    c = x.shape[1]
    running, theirs = np.ones((2, c), np.float32), torch.ones(2, c)
    return OpCase(
        name,
        _shape(x),
        lambda x, gamma, beta: ops.batch_norm(x, gamma, beta, *running, True),
        lambda x, gamma, beta: F.batch_norm(x, *theirs, gamma, beta, True),
        [x, _random(c), _random(c)],
        {"forward": None, "backward": (0, 1, 2)},
    )


def _prelu(name, level, channels, scale):
    x = _map(level, channels, scale)
    return OpCase(
        name,
        _shape(x),
        ops.prelu,
        F.prelu,
        [x, _random(x.shape[1])],
        {"forward": None, "backward": (0, 1)},
    )


class _Through(nn.Module):
    def forward(self, x):
        return x


def _after_convolution(name, level, channels, scale):
    """Whatever a ConvBlock does behind its convolution, in the way it does it."""
    x = _map(level, channels, scale)
    c = x.shape[1]
    backend.seed(0)
    block, twin = ConvBlock(c, c), twins.block(torch.nn.Conv2d, c, c)[1:]
    block.conv = _Through()
    return OpCase(
        name,
        _shape(x),
        block,
        twin,
        [x],
        {"forward": None, "backward": (0,)},
        modules=(block, twin),
    )


def _max_pool(name, level, channels, scale):
    x = _map(level, channels, scale)
    return OpCase(
        name,
        _shape(x),
        lambda x: ops.max_pool2d(x, 2, ceil_mode=True),
        twins.pool,
        [x],
        {"forward": None, "backward": (0,)},
    )


def _upsample(name, scale):
    x, (height, width) = _map(1, 2, scale, scale.segmentation_batch), scale.size
    return OpCase(
        name,
        _shape(x),
        lambda x: ops.upsample_nearest(x, (height, width)),
        lambda x: F.interpolate(x, scale_factor=2, mode="nearest")[:, :, :height, :width],
        [x],
        {"forward": None, "backward": (0,)},
    )


def _masks(x):
    """Positive masks (N, regions, H, W) beside a feature map."""
    return np.exp(_random(len(x), REGIONS, *x.shape[2:]))


def _torch_region_pool(x, masks):
    masks = masks.flatten(2)
    return torch.einsum("nrp,ncp->nrc", masks, x.flatten(2)) / masks.sum(2, keepdim=True)


def _torch_region_gate(x, masks):
    masks = masks / masks.sum((2, 3), keepdim=True)
    return (masks[:, :, None] * x[:, None]).flatten(1, 2)


def _region_pool(name, scale):
    return _by_region(name, _map(4, 16, scale), ops.region_pool, _torch_region_pool)


def _region_gate(name, scale):
    return _by_region(name, _map(2, 4, scale), ops.region_gate, _torch_region_gate)


def _by_region(name, x, ours, theirs):
    """The parser is frozen, so the masks need no gradient."""
    passes = {"forward": None, "backward": (0,)}
    return OpCase(name, _shape(x), ours, theirs, [x, _masks(x)], passes, maps=2)


def _softmax_cross_entropy(name, scale):
    """Of the finest head. Ours makes the gradient within forward."""
    x = _random(scale.segmentation_batch, REGIONS, *scale.size)
    labels = np.random.default_rng(2).integers(-1, REGIONS, (len(x), *scale.size))
    theirs = torch.from_numpy(labels)
    return OpCase(
        name,
        _shape(x),
        lambda x: ops.softmax_cross_entropy(x, labels),
        lambda x: F.cross_entropy(x, theirs, ignore_index=-1),
        [x],
        {"forward": None, "backward": (0,)},
    )
