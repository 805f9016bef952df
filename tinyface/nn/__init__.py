"""Modules: layers that own parameters and buffers, and containers of layers. The mathematics is in `tinyface.ops`."""

from .layers import (
    AvgPool2d,
    BatchNorm2d,
    Conv2d,
    ConvTranspose2d,
    Dropout,
    GlobalAvgPool2d,
    Linear,
    MaxPool2d,
    PReLU,
    ReLU,
    UpsampleNearest,
)
from .module import Module, Sequential

__all__ = [
    "AvgPool2d",
    "BatchNorm2d",
    "Conv2d",
    "ConvTranspose2d",
    "Dropout",
    "GlobalAvgPool2d",
    "Linear",
    "MaxPool2d",
    "Module",
    "PReLU",
    "ReLU",
    "Sequential",
    "UpsampleNearest",
]
