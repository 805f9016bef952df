"""Examples for every operation: inputs, how to call it, and the same in PyTorch; for tests/ops/test_table.py."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from tinyface import backend, ops


class Example(NamedTuple):
    """op, what: the operation's name and what is special here.

    run: (put, *tensors) → tensor, where put moves other arrays to the device. arrays: the inputs, float64.
    torch: (torch, *torch tensors) → torch tensor, None where PyTorch has no such operation.
    exact: "y", "gradients" or both: kernels give the reference's bits, as they add up in the same order or not at all.
    trained: whether there is a gradient. scale: the size of numbers that cancel inside, where larger than the results.
    algorithm: of a convolution, where it is not chosen by shape.
    """

    op: str
    what: str
    run: Callable
    arrays: tuple
    torch: Callable | None = None
    exact: tuple = ()
    trained: bool = True
    algorithm: str | None = None
    scale: float = 1e-3


EXAMPLES = []


def add(op, what, run, *arrays, **more):
    EXAMPLES.append(Example(op, what, run, arrays, **more))


def normal(*shape, seed=0):
    return np.random.default_rng([seed, *shape]).standard_normal(shape)


def positive(*shape, seed=0):
    return np.abs(normal(*shape, seed=seed)) + 0.1


def function(op, **options):
    """run: an operation of tensors alone."""
    return lambda put, *tensors: getattr(ops, op)(*tensors, **options)


# ---------------------------------------------------------------- arithmetic, shapes

for what, a, b in (
    ("same shape", (2, 3, 4), (2, 3, 4)),
    ("broadcast", (2, 3, 4), (3, 1)),
    ("no elements", (0, 3), (1, 3)),
):
    arrays = normal(*a), normal(*b, seed=1)
    add("add", what, function("add"), *arrays, torch=lambda torch, a, b: a + b)
    add("mul", what, function("mul"), *arrays, torch=lambda torch, a, b: a * b)
add(
    "concat",
    "channels",
    lambda put, *t: ops.concat(t, axis=1),
    normal(2, 3, 4),
    normal(2, 1, 4),
    torch=lambda torch, *t: torch.cat(t, 1),
)
add(
    "getitem",
    "slices and an integer",
    lambda put, x: x[:, 1, ::2],
    normal(2, 3, 5),
    torch=lambda torch, x: x[:, 1, ::2],
)
add(
    "reshape",
    "one open length",
    lambda put, x: ops.reshape(x, (4, -1)),
    normal(2, 3, 4),
    torch=lambda torch, x: x.reshape(4, -1),
)
for what, axis, keepdims in (("all", None, False), ("axes", (0, 2), True), ("last", -1, False)):
    for name in ("sum", "mean"):
        theirs = lambda torch, x, name=name, axis=axis, keepdims=keepdims: getattr(torch, name)(  # noqa: E731
            x, (0, 1, 2) if axis is None else axis, keepdims
        )
        add(name, what, function(name, axis=axis, keepdims=keepdims), normal(2, 3, 4), torch=theirs)
linear = lambda torch, *t: torch.nn.functional.linear(*t)  # noqa: E731
add("linear", "bias", function("linear"), normal(2, 3, 4), normal(5, 4), normal(5), torch=linear)
add("linear", "no bias", function("linear"), normal(3, 4), normal(5, 4), torch=linear)
add("linear", "no rows", function("linear"), normal(0, 4), normal(5, 4), normal(5), torch=linear)
add(
    "pair_loss",
    "three identities",
    lambda put, f: ops.pair_loss(f, put(np.array([3, 1, 3, 2, 3]))),
    normal(5, 4),
    torch=lambda torch, f: sum(((f[i] - f[j]) ** 2).sum() for i, j in ((0, 2), (0, 4), (2, 4))),
)

# ---------------------------------------------------------------- activations

EXACT = "y", "gradients"
for what, shape in (
    ("maps", (2, 3, 5, 4)),
    ("rows", (7, 5)),
    ("no images", (0, 3, 2, 2)),
    ("large", (2, 3, 61, 53)),
):
    x = normal(*shape)
    add("relu", what, function("relu"), x, torch=lambda torch, x: torch.relu(x), exact=EXACT)
    add("sigmoid", what, function("sigmoid"), 3 * x, torch=lambda torch, x: torch.sigmoid(x))
    if x.size:
        add("softmax", what, function("softmax"), 3 * x, torch=lambda torch, x: torch.softmax(x, 1))
    for name, slope in (("each", 2 * normal(shape[1])), ("one", 2 * normal(1, seed=2))):
        theirs = lambda torch, x, slope: torch.nn.functional.prelu(x, slope)  # noqa: E731
        add("prelu", f"{what}, {name}", function("prelu"), x, slope, torch=theirs, exact=("y",))
add(
    "softmax",
    "last axis",
    function("softmax", axis=-1),
    normal(2, 3, 4, 5),
    torch=lambda t, x: t.softmax(x, -1),
)


def dropout(put, x):
    state = backend.get_random_state()
    backend.seed(5)
    y = ops.dropout(x, 0.4)
    backend.set_random_state(state)
    return y


add("dropout", "maps", dropout, normal(2, 3, 5, 4), exact=EXACT)
add("dropout", "large", dropout, normal(70, 61), exact=EXACT)

# ---------------------------------------------------------------- losses


def cross_entropy(labels):
    theirs = lambda torch, x: torch.nn.functional.cross_entropy(  # noqa: E731
        x, torch.tensor(labels.astype(np.int64)), ignore_index=9
    )
    return dict(run=lambda put, x: ops.softmax_cross_entropy(x, put(labels), ignore=9), torch=theirs)


for what, shape in (("maps", (2, 4, 5, 3)), ("rows", (6, 4)), ("large", (3, 4, 41, 37))):
    labels = np.random.default_rng(0).integers(0, 4, (shape[0], *shape[2:]))
    calls = cross_entropy(np.where(normal(*labels.shape) > 1, 9, labels).astype(np.uint8))
    add("softmax_cross_entropy", what, calls["run"], 3 * normal(*shape), torch=calls["torch"])
add(
    "softmax_cross_entropy",
    "all ignored",
    lambda put, x: ops.softmax_cross_entropy(x, put(np.full(3, -1))),
    normal(3, 4),
)


def binary_cross_entropy(targets, weight):
    theirs = lambda torch, x: torch.nn.functional.binary_cross_entropy_with_logits(  # noqa: E731
        x,
        torch.tensor(targets).to(x.dtype),
        pos_weight=None if weight is None else torch.tensor(weight).to(x.dtype),
    )
    ours = lambda put, x: ops.sigmoid_cross_entropy(  # noqa: E731
        x, put(targets), None if weight is None else put(weight)
    )
    return dict(run=ours, torch=theirs)


for what, shape, weight in (
    ("plain", (3, 4), None),
    ("weights", (3, 4), positive(4)),
    ("large", (60, 40), positive(40)),
):
    calls = binary_cross_entropy((normal(*shape, seed=3) > 0).astype(float), weight)
    add("sigmoid_cross_entropy", what, calls["run"], 3 * normal(*shape), torch=calls["torch"])

# ---------------------------------------------------------------- convolutions


def convolution_of_torch(name, options):
    return lambda torch, *t: getattr(torch.nn.functional, name)(*t, **options)


# what: x, filters, bias, options, and the algorithm forced, where the choice by shape would not take it
CONVOLUTIONS = {
    "3x3": ((2, 5, 9, 7), (6, 5, 3, 3), True, {"padding": 1}, None),
    "3x3 without padding": ((1, 6, 5, 6), (9, 6, 3, 3), False, {}, None),
    "winograd, 4x4 tiles": ((2, 6, 9, 11), (9, 6, 3, 3), True, {"padding": 1}, "winograd4"),
    "winograd, 6x6 tiles": ((2, 6, 9, 11), (9, 6, 3, 3), True, {"padding": 2}, "winograd6"),
    "winograd on a GPU": ((2, 6, 9, 11), (9, 6, 3, 3), True, {"padding": 1}, "winograd"),
    "winograd on a GPU, padding 2": ((1, 6, 7, 5), (9, 6, 3, 3), False, {"padding": 2}, "winograd"),
    "winograd, few tiles": ((1, 33, 4, 5), (40, 33, 3, 3), False, {"padding": 1}, "winograd4"),
    "3x3 by im2col": ((2, 5, 6, 7), (9, 5, 3, 3), True, {"padding": 1}, "im2col"),
    "few channels": ((2, 3, 8, 9), (9, 3, 5, 5), True, {"padding": 2}, None),
    "few outputs": ((2, 16, 7, 6), (7, 16, 3, 3), True, {"padding": 1}, None),
    "stride 2": ((2, 6, 8, 7), (9, 6, 3, 3), True, {"stride": 2, "padding": 1}, None),
    "stride 3, 2x4 filters": ((2, 6, 8, 9), (9, 6, 2, 4), False, {"stride": 3, "padding": 1}, None),
    "1x1": ((3, 6, 4, 5), (9, 6, 1, 1), True, {}, None),
    "one pixel": ((1, 6, 1, 1), (9, 6, 3, 3), True, {"padding": 1}, None),
    "no images": ((0, 6, 5, 4), (9, 6, 3, 3), True, {"padding": 1}, None),
}
for what, (x, w, bias, options, algorithm) in CONVOLUTIONS.items():
    for name, filters, channels in (
        ("conv2d", w, w[0]),
        ("conv_transpose2d", (x[1], w[0], *w[2:]), w[0]),
    ):
        arrays = (normal(*x), normal(*filters, seed=1), *([normal(channels, seed=2)] if bias else []))
        theirs = convolution_of_torch(name, options)
        add(name, what, function(name, **options), *arrays, torch=theirs, scale=30, algorithm=algorithm)
options = {"stride": 3, "padding": 1, "output_padding": 2}
add(
    "conv_transpose2d",
    "output padding",
    function("conv_transpose2d", **options),
    normal(2, 6, 4, 5),
    normal(6, 9, 3, 3),
    torch=convolution_of_torch("conv_transpose2d", options),
    scale=30,
)
for dilation in (1, 2):
    add(
        "locally_shared_conv2d",
        f"dilation {dilation}",
        function("locally_shared_conv2d", dilation=dilation),
        normal(2, 3, 9, 8),
        normal(3, 2, 4, 3, 3, 2),
        normal(3, 2, 4),
        scale=10,
    )

# ---------------------------------------------------------------- batch normalisation


def normalised(name, training):
    def ours(put, x, *per_channel):
        channels, statistics = x.shape[1], (normal(x.shape[1], seed=8), positive(x.shape[1], seed=9))
        running = [put(a.astype(x.dtype)) for a in statistics]
        y = getattr(ops, name)(x, *per_channel, *running, training)
        assert all(a.shape == (channels,) and a.dtype == x.dtype for a in running)
        ours.running = running  # compared as well
        return y

    def theirs(torch, x, gamma, beta, *slope):
        statistics = [
            torch.tensor(a).to(x.dtype) for a in (normal(len(gamma), seed=8), positive(len(gamma), seed=9))
        ]
        y = torch.nn.functional.batch_norm(x, *statistics, gamma, beta, training, 0.1, 1e-5)
        return torch.nn.functional.prelu(y, *slope) if slope else y

    return ours, theirs


for training in (True, False):
    for what, shape in (
        ("maps", (3, 5, 4, 6)),
        ("rows", (6, 5)),
        ("large", (2, 3, 61, 53)),
        ("far", (4, 3, 5, 5)),
    ):
        if not training and what == "far":
            continue
        x, channels = normal(*shape) + (100 if what == "far" else 0), shape[1]
        gamma, beta, slope = normal(channels, seed=1), normal(channels, seed=2), 2 * normal(channels, seed=3)
        mode, scale = "training" if training else "evaluation", 1e-3 if what != "far" else 100
        ours, theirs = normalised("batch_norm", training)
        add("batch_norm", f"{what}, {mode}", ours, x, gamma, beta, torch=theirs, scale=scale)
        for kind, slopes in (("", slope), (", flat slopes", np.full(channels, 0.25))):
            ours, theirs = normalised("batch_norm_prelu", training)
            add(
                "batch_norm_prelu",
                f"{what}{kind}, {mode}",
                ours,
                x,
                gamma,
                beta,
                slopes,
                torch=theirs,
                scale=scale,
            )


def convolved_and_normalised(transposed):
    def ours(put, x, w, *per_channel):
        channels = per_channel[0].shape[0]
        running = [put(a.astype(x.dtype)) for a in (normal(channels, seed=8), positive(channels, seed=9))]
        return ops.conv_norm_prelu(x, w, *per_channel, *running, padding=1, transposed=transposed)

    def theirs(torch, x, w, gamma, beta, slope):
        convolve = torch.nn.functional.conv_transpose2d if transposed else torch.nn.functional.conv2d
        statistics = [
            torch.tensor(a).to(x.dtype) for a in (normal(len(gamma), seed=8), positive(len(gamma), seed=9))
        ]
        y = torch.nn.functional.batch_norm(
            convolve(x, w, padding=1), *statistics, gamma, beta, False, 0, 1e-5
        )
        return torch.nn.functional.prelu(y, slope)

    return ours, theirs


for what, outputs, algorithm in (
    ("by shape", 9, None),
    ("im2col", 9, "im2col"),
    ("winograd", 9, "winograd4"),
    ("few outputs", 3, None),
):
    for transposed in (False, True):
        ours, theirs = convolved_and_normalised(transposed)
        filters = (6, outputs, 3, 3) if transposed else (outputs, 6, 3, 3)
        per_channel = normal(outputs, seed=1), normal(outputs, seed=2), normal(outputs, seed=3)
        name = f"{what}{', transposed' if transposed else ''}"
        arrays = normal(2, 6, 7, 9), normal(*filters, seed=4), *per_channel
        more = dict(trained=False, scale=30, algorithm=algorithm)
        add("conv_norm_prelu", name, ours, *arrays, torch=theirs, **more)

# ---------------------------------------------------------------- pooling, up-sampling

for what, shape, kernel, stride, padding, ceil in (
    ("2x2", (2, 3, 6, 4), 2, 2, 0, False),
    ("2x2, ceil", (2, 3, 7, 5), 2, 2, 0, True),
    ("overlapping", (2, 3, 7, 8), 3, 2, 1, False),
    ("stride 1", (2, 2, 5, 6), 3, 1, 1, False),
    ("gaps", (2, 3, 8, 9), 2, 3, 1, True),
    ("one pixel", (2, 3, 1, 1), 3, 1, 1, False),
    ("no images", (0, 3, 4, 4), 2, 2, 0, False),
):
    options, x = dict(kernel=kernel, stride=stride, padding=padding, ceil_mode=ceil), normal(*shape)
    theirs = lambda torch, x, o=(kernel, stride, padding), ceil=ceil: torch.nn.functional.max_pool2d(  # noqa: E731
        x, *o, ceil_mode=ceil
    )
    exact = EXACT if kernel <= stride else ("y",)
    add(
        "max_pool2d",
        what,
        function("max_pool2d", **options),
        x,
        torch=theirs if x.size else None,
        exact=exact,
    )
    theirs = lambda torch, x, o=(kernel, stride, padding), ceil=ceil: torch.nn.functional.avg_pool2d(  # noqa: E731
        x, *o, ceil_mode=ceil, count_include_pad=False
    )
    add("avg_pool2d", what, function("avg_pool2d", **options), x, torch=theirs if x.size else None)
add(
    "max_pool2d",
    "ties",
    function("max_pool2d", kernel=3, stride=3, padding=1),
    normal(2, 3, 8, 7).round(),
    torch=lambda torch, x: torch.nn.functional.max_pool2d(x, 3, 3, 1),
    exact=EXACT,
)
add("max_pool2d", "17x17", function("max_pool2d", kernel=17, stride=2), normal(1, 2, 19, 21), exact=("y",))
for what, shape, size in (
    ("twice", (2, 3, 4, 5), (8, 10)),
    ("twice, cropped", (2, 3, 4, 5), (7, 9)),
    ("uneven", (2, 3, 4, 5), (6, 13)),
    ("no images", (0, 3, 4, 5), (8, 10)),
):
    theirs = lambda torch, x, size=size: torch.nn.functional.interpolate(x, size, mode="nearest-exact")  # noqa: E731
    theirs = None if what != "twice" else theirs
    add(
        "upsample_nearest",
        what,
        function("upsample_nearest", size=size),
        normal(*shape),
        torch=theirs,
        exact=("y",),
    )
add(
    "global_avg_pool2d",
    "maps",
    function("global_avg_pool2d"),
    normal(2, 3, 5, 4),
    torch=lambda torch, x: x.mean((2, 3)),
)
for what, shape, levels in (
    ("1, 2", (2, 3, 5, 4), (1, 2)),
    ("3, 4", (2, 3, 3, 7), (3, 4)),
    ("more", (1, 2, 2, 3), (4,)),
):
    theirs = lambda torch, x, levels=levels: torch.cat(  # noqa: E731
        [torch.nn.functional.adaptive_avg_pool2d(x, level).flatten(1) for level in levels], 1
    )
    add(
        "spatial_pyramid_pool",
        what,
        function("spatial_pyramid_pool", levels=levels),
        normal(*shape),
        torch=theirs,
    )


def pooled_by_regions(torch, x, m):
    return torch.einsum("nrhw,nchw->nrc", m, x) / m.sum((2, 3))[:, :, None]


def gated_by_regions(torch, x, m):
    return torch.einsum("nrhw,nchw->nrchw", m / m.sum((2, 3), keepdim=True), x).flatten(1, 2)


for what, n, c, r, h, w in (
    ("seven regions", 2, 5, 7, 6, 5),
    ("many", 1, 37, 9, 9, 11),
    ("one", 2, 1, 1, 1, 3),
    ("no images", 0, 3, 2, 4, 4),
):
    arrays = normal(n, c, h, w), positive(n, r, h, w)
    add("region_pool", what, function("region_pool"), *arrays, torch=pooled_by_regions)
    add("region_gate", what, function("region_gate"), *arrays, torch=gated_by_regions)
