"""The eight convolution layers that both networks of Kalayeh et al. 2017 begin with (Table 1, upper half)."""

from tinyface import nn, ops
from tinyface.core import is_grad_enabled


class ConvBlock(nn.Module):
    """3×3 convolution, stride 1, pad 1 → batch normalisation → PReLU. No bias: beta of the norm is one."""

    def __init__(self, in_channels, out_channels):
        self.conv = nn.Conv2d(in_channels, out_channels, 3, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(out_channels)
        self.act = nn.PReLU(out_channels)

    def forward(self, x):
        return conv_norm_act(x, self.conv, self.norm, self.act)


def conv_norm_act(x, conv, norm, act):
    """act(norm(conv(x))) of a Conv2d or ConvTranspose2d of stride 1 without bias; in evaluation as one op."""
    if norm.training or is_grad_enabled():
        return norm_act(conv(x), norm, act)
    return ops.conv_norm_prelu(
        x,
        conv.weight,
        norm.gamma,
        norm.beta,
        act.slope,
        norm.running_mean,
        norm.running_var,
        norm.eps,
        conv.padding,
        transposed=isinstance(conv, nn.ConvTranspose2d),
    )


def norm_act(x, norm, act):
    """act(norm(x)) of a BatchNorm2d and a PReLU, in the passes of one op."""
    return ops.batch_norm_prelu(
        x,
        norm.gamma,
        norm.beta,
        act.slope,
        norm.running_mean,
        norm.running_var,
        norm.training,
        norm.momentum,
        norm.eps,
    )


class Encoder(nn.Module):
    """Conv11 … Conv42: (N, in_channels, H, W) → (N, 8·width, ⌈H/8⌉, ⌈W/8⌉).

    Comes apart around Conv32 and MaxPool3, where SSG puts its gate: `until_conv31`, `conv32`, `pool3`, `conv4`.
    """

    halvings = 3  # of the map, each rounded up

    def __init__(self, width=64, in_channels=3):
        w = width
        self.conv11, self.conv12 = ConvBlock(in_channels, w), ConvBlock(w, w)
        self.pool1 = nn.MaxPool2d(2, ceil_mode=True)
        self.conv21, self.conv22 = ConvBlock(w, 2 * w), ConvBlock(2 * w, 2 * w)
        self.pool2 = nn.MaxPool2d(2, ceil_mode=True)
        self.conv31, self.conv32 = ConvBlock(2 * w, 4 * w), ConvBlock(4 * w, 4 * w)
        self.pool3 = nn.MaxPool2d(2, ceil_mode=True)
        self.conv41, self.conv42 = ConvBlock(4 * w, 8 * w), ConvBlock(8 * w, 8 * w)

    def until_conv31(self, x):
        """(N, in_channels, H, W) → (N, 4·width, ⌈H/4⌉, ⌈W/4⌉)."""
        x = self.pool1(self.conv12(self.conv11(x)))
        x = self.pool2(self.conv22(self.conv21(x)))
        return self.conv31(x)

    def conv4(self, x):
        """What follows MaxPool3: (N, 4·width, h, w) → (N, 8·width, h, w)."""
        return self.conv42(self.conv41(x))

    def forward(self, x):
        return self.conv4(self.pool3(self.conv32(self.until_conv31(x))))
