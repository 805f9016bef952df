"""What a network consists of: a row per layer, as in Table 1 of Kalayeh et al. 2017.

One image goes through the network while every op that is applied is written down. A layer begins a row;
normalisation, activation and whatever else takes the row's result and has no layer of its own joins it.
"""

import contextlib
import math
import re
from dataclasses import dataclass, field

import numpy as np

from . import nn
from .core import Function, Parameter, Tensor
from .moved import names_of

# What rows call the ops; the others go by their own names.
TITLES = {
    "conv2d": "Conv",
    "conv_transpose2d": "Deconv",
    "batch_norm": "BN",
    "batch_norm_prelu": "BN, PReLU",
    "prelu": "PReLU",
    "locally_shared_conv2d": "LocalConv",
    "max_pool2d": "MaxPool",
    "avg_pool2d": "AvgPool",
    "global_avg_pool2d": "GlobalAvgPool",
    "upsample_nearest": "UpSample",
    "region_pool": "RegionPool",
    "region_gate": "RegionGate",
    "spatial_pyramid_pool": "PyramidPool",
}
JOINING = ("batch_norm", "batch_norm_prelu", "prelu", "relu", "softmax", "mul", "sum")
ALONE = (
    "region_pool",
    "region_gate",
    "global_avg_pool2d",
    "spatial_pyramid_pool",
)  # a row of their own without being layers
SILENT = ("getitem", "reshape", "concat")  # they compute nothing

__getattr__ = names_of("tinyface.faces.summary", "load_networks", "networks_of")


@dataclass
class Row:
    """One line of the table; sizes and numbers are for one image."""

    name: str
    operations: list = field(default_factory=list)
    shape: tuple = ()  # of the output: (C, H, W), or less behind the last pooling
    parameters: int = 0
    multiply_adds: int = 0


def summarise(network, size=None):
    """Rows of a network for an image of `size` (height, width), its own unless given.

    Multiply-adds are those of convolutions, linear layers and region pooling; normalisation and activation
    add few. A network that takes more than an image says what in a method `example_inputs(size)`.
    """
    rows, last_path, last_output = [], None, None
    seen = set()
    for path, op, arguments, output in _trace(network, tuple(size or network.config["size"])):
        follows = op in JOINING and any(a is last_output for a in arguments)
        if not rows or op in ALONE or (path != last_path and not follows):
            rows.append(Row(_row_name(path, op)))
            last_path = path
        row, last_output = rows[-1], output
        titles = () if op in SILENT else _title(op, arguments).split(", ")
        row.operations += [title for title in titles if title not in row.operations]
        row.shape = output.shape[1:]
        row.multiply_adds += _multiply_adds(op, [a.shape for a in arguments], output.shape)
        new = [a for a in arguments if isinstance(a, Parameter) and id(a) not in seen]
        seen.update(map(id, new))
        row.parameters += sum(parameter.size for parameter in new)
    return rows


def format_summary(title, rows):
    """The rows as aligned text, with their totals."""
    lines = [("layer", "operations", "output", "parameters", "multiply-adds")]
    for row in rows:
        shape = "×".join(map(str, row.shape))
        lines.append(
            (row.name, ", ".join(row.operations), shape, _count(row.parameters), _count(row.multiply_adds))
        )
    totals = sum(row.parameters for row in rows), sum(row.multiply_adds for row in rows)
    lines.append(("total", "", "", *map(_count, totals)))
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    place = "  ".join(f"{{:{side}{width}}}" for side, width in zip("<<<>>", widths, strict=True)).format
    text = [place(*line) for line in lines]
    rule = "-" * len(text[0])
    in_short = f"{title}: {totals[0] / 1e6:.1f} M parameters, {_scaled(totals[1])} multiply-adds per image"
    return "\n".join((in_short, rule, text[0], rule, *text[1:-1], rule, text[-1]))


def multiply_adds_of(network, run):
    """Multiply-adds of all that run() computes with a network and its modules."""
    calls = []
    with _listening(network, calls):
        run()
    return sum(_multiply_adds(op, [a.shape for a in inputs], output.shape) for _, op, inputs, output in calls)


def _trace(network, size):
    """Send one black image through: [(path of the innermost module, op, input tensors, output tensor)]."""
    if hasattr(network, "example_inputs"):
        arguments = network.example_inputs(size)
    else:
        arguments = [Tensor(np.zeros((1, 3, *size), network.parameters()[0].dtype))]
    calls, training = [], network.training
    try:
        with _listening(network, calls):  # with history: without it, several layers would be one op
            network.eval()(*arguments)
    finally:
        network.train(training)
    return calls


@contextlib.contextmanager
def _listening(network, calls):
    """Append every op that a function applies to `calls`, with the module that applied it."""
    paths = {id(module): path for path, module in network.named_modules()}
    stack = []
    call_module, call_function = nn.Module.__call__, Function.__call__

    def module_called(module, *args, **kwargs):
        stack.append(paths[id(module)])
        result = call_module(module, *args, **kwargs)
        stack.pop()
        return result

    def function_called(function, *inputs):
        output = call_function(function, *inputs)
        calls.append(
            (stack[-1] if stack else "", function.name, [x for x in inputs if hasattr(x, "shape")], output)
        )
        return output

    nn.Module.__call__, Function.__call__ = module_called, function_called
    try:
        yield
    finally:
        nn.Module.__call__, Function.__call__ = call_module, call_function


def _row_name(path, op):
    """Table 1's names: encoder.conv11.conv → Conv11, encoder.pool1 → MaxPool1, upsample3 → UpSample3.

    Of a block with several layers both: encoder.block11.conv1 → Block11.conv1; of a list: decoder.blocks.0 → Block1.
    """
    if op == "softmax":
        return "RegionMasks"  # of the segmentation network's logits; all other softmaxes join a row
    if op in ALONE:
        return TITLES[op]
    path = re.sub(r"s\.(\d+)", lambda match: str(int(match[1]) + 1), path)
    *_, parent, name = ("", *path.split("."))
    if name in ("conv", "deconv"):  # the layers within a block
        name = parent
    elif parent.startswith("block"):
        name = f"{parent}.{name}"
    for short, title in (("pool", "MaxPool"), ("upsample", "UpSample")):
        name = name.replace(short, title)
    return name[:1].upper() + name[1:] or TITLES.get(op) or op.capitalize()


def _title(op, arguments):
    title = TITLES.get(op) or op.capitalize()
    kernel = arguments[1].shape[2:] if op.startswith("conv") else (3, 3)
    return title if kernel == (3, 3) else f"{title} {kernel[0]}×{kernel[1]}"


def _multiply_adds(op, inputs, output):
    """From the shapes of inputs and output."""
    if op == "conv2d":
        return math.prod(output) * math.prod(inputs[1][1:])
    if op == "conv_transpose2d":
        return math.prod(inputs[0]) * math.prod(inputs[1][1:])
    if op == "locally_shared_conv2d":
        return math.prod(output) * math.prod(inputs[1][3:])
    if op == "linear":
        return math.prod(output) * inputs[1][1]
    if op == "region_pool":
        return math.prod(output) * math.prod(inputs[0][2:])
    return 0


def _scaled(number):
    return f"{number / 1e9:.2f} G" if number >= 1e8 else f"{number / 1e6:.2f} M"


def _count(number):
    return f"{number:,}" if number else "-"
