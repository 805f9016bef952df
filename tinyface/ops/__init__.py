"""The operations: functions on tensors, NCHW, one file each. Weight layouts and names are PyTorch's."""

from ..core import Tensor
from .add import add
from .avg_pool2d import avg_pool2d
from .batch_norm import batch_norm
from .batch_norm_prelu import batch_norm_prelu
from .concat import concat
from .conv2d import conv2d
from .conv_norm_prelu import conv_norm_prelu
from .conv_transpose2d import conv_transpose2d
from .dropout import dropout
from .getitem import getitem
from .global_avg_pool2d import global_avg_pool2d
from .linear import linear
from .locally_shared_conv2d import locally_shared_conv2d
from .max_pool2d import max_pool2d
from .mean import mean
from .mul import mul
from .pair_loss import pair_loss
from .prelu import prelu
from .region_gate import region_gate
from .region_pool import region_pool
from .relu import relu
from .reshape import reshape
from .sigmoid import sigmoid
from .sigmoid_cross_entropy import sigmoid_cross_entropy
from .softmax import softmax
from .softmax_cross_entropy import softmax_cross_entropy
from .spatial_pyramid_pool import spatial_pyramid_pool
from .sum import sum
from .upsample_nearest import upsample_nearest

__all__ = [
    "add", "avg_pool2d", "batch_norm", "batch_norm_prelu", "concat", "conv2d", "conv_norm_prelu",
    "conv_transpose2d", "dropout", "getitem", "global_avg_pool2d", "linear", "locally_shared_conv2d",
    "max_pool2d", "mean", "mul", "pair_loss", "prelu", "region_gate", "region_pool", "relu", "reshape",
    "sigmoid", "sigmoid_cross_entropy", "softmax", "softmax_cross_entropy", "spatial_pyramid_pool", "sum",
    "upsample_nearest",
]  # fmt: skip

Tensor.__add__ = Tensor.__radd__ = add
Tensor.__mul__ = Tensor.__rmul__ = mul
Tensor.__neg__ = lambda x: mul(x, -1.0)
Tensor.__sub__ = lambda a, b: add(a, b * -1.0)
Tensor.__rsub__ = lambda b, a: add(a, mul(b, -1.0))
Tensor.__getitem__ = getitem
Tensor.sum = sum
Tensor.mean = mean
Tensor.reshape = reshape
