"""The semantic segmentation network: seven regions of a face (Kalayeh et al. 2017, section 3.2, Table 1)."""

from tinyface import nn, ops

from ..data.transforms import resize_labels
from .encoder import Encoder, conv_norm_act

REGIONS = 7


class DeconvBlock(nn.Module):
    """3×3 transposed convolution, stride 1, pad 1 → batch normalisation → PReLU."""

    def __init__(self, in_channels, out_channels):
        self.deconv = nn.ConvTranspose2d(in_channels, out_channels, 3, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(out_channels)
        self.act = nn.PReLU(out_channels)

    def forward(self, x):
        return conv_norm_act(x, self.deconv, self.norm, self.act)


class SegmentationNet(nn.Module):
    """Encoder and decoder with a head on each of four scales.

    width: channels of the first level; the paper's is 64.
    size: (height, width) of the images it is meant for; `predict` and `summary` read it, any size works.
    head_norm: batch normalisation and PReLU behind each head as Table 1's "Deconv, BN, PReLU" has it;
        plain logits otherwise.
    """

    def __init__(self, width=64, size=(218, 178), regions=REGIONS, head_norm=False):
        self.config = {"width": width, "size": tuple(size), "regions": regions, "head_norm": head_norm}
        w = width

        def head(channels):
            if head_norm:
                return DeconvBlock(channels, regions)
            return nn.ConvTranspose2d(channels, regions, 3, padding=1)

        self.encoder = Encoder(width)
        self.deconv41, self.deconv42 = DeconvBlock(8 * w, 8 * w), DeconvBlock(8 * w, 8 * w)
        self.deconv43 = head(8 * w)
        self.upsample3 = nn.UpsampleNearest()
        self.deconv31, self.deconv32 = DeconvBlock(8 * w, 4 * w), DeconvBlock(4 * w, 4 * w)
        self.deconv33 = head(4 * w)
        self.upsample2 = nn.UpsampleNearest()
        self.deconv21, self.deconv22 = DeconvBlock(4 * w, 2 * w), DeconvBlock(2 * w, 2 * w)
        self.deconv23 = head(2 * w)
        self.upsample1 = nn.UpsampleNearest()
        self.deconv11, self.deconv12 = DeconvBlock(2 * w, w), DeconvBlock(w, w)
        self.deconv13 = head(w)

    def forward(self, x, heads=4):
        """x (N, 3, H, W) → logits of Deconv43, 33, 23, 13, coarse to fine: (N, 7, ⌈H/8⌉, ⌈W/8⌉) … (N, 7, H, W).

        heads: stop after so many. SSG needs two, SSP three.
        """
        return self.decode(self.encoder(x), x.shape[2:], heads)

    def decode(self, x, size, heads=4):
        """The encoder's output (N, 8·width, ⌈H/8⌉, ⌈W/8⌉) and the images' size (H, W) → the logits of `forward`."""
        decoder = (
            (None, self.deconv41, self.deconv42, self.deconv43),
            (self.upsample3, self.deconv31, self.deconv32, self.deconv33),
            (self.upsample2, self.deconv21, self.deconv22, self.deconv23),
            (self.upsample1, self.deconv11, self.deconv12, self.deconv13),
        )
        sizes = [tuple(size)]  # before each pooling; the decoder comes back to them in reverse
        for _ in range(3):
            sizes.insert(0, tuple(-(-length // 2) for length in sizes[0]))
        logits = []
        for (upsample, first, second, head), size in zip(decoder[:heads], sizes, strict=False):
            if upsample:
                x = upsample(x, size)
            x = second(first(x))
            logits.append(head(x))
        return logits


def segmentation_loss(heads, labels):
    """Cross-entropy of every head against the labels brought to its size, added with equal weight (section 3.2).

    heads: logits (N, R, h, w) each; labels: integer array (N, H, W), −1 where unlabelled; → scalar.
    """
    losses = (ops.softmax_cross_entropy(head, resize_labels(labels, head.shape[2:])) for head in heads)
    return sum(losses, start=next(losses))
