"""SSPL's network (Shu et al., CVPR 2021): what a backbone learns from faces without labels.

image, one tile turned → backbone ─┬─ means of 3×3 cells ─┬─ all cells, linear      → which tile, which angle  (PRT)
                                   │                      └─ each cell, linear      → its regions              (PCT)
                                   └─ decoder, to half the image's size             → region of each pixel     (PST)

The paper's abstract names the three tasks; how the heads look is our reading (docs/paper-to-code.md).
"""

from itertools import pairwise

from tinyface import nn, ops

from .. import choices
from ..data.patches import ANGLES, GRID, TILES
from .encoder import ConvBlock, Encoder
from .resnet import ResNet18
from .segmentation import REGIONS

BACKBONES = dict(zip(choices.BACKBONES, (Encoder, ResNet18), strict=True))


class SSPLNet(nn.Module):
    """A backbone, `encoder`, with the heads of the three tasks.

    backbone: "encoder", the eight layers that the networks of Kalayeh et al. begin with, or "resnet18".
    width: channels of its first level. size: (height, width) of the images it is meant for.
    """

    def __init__(self, backbone="encoder", width=64, size=(218, 178), regions=REGIONS):
        if backbone not in BACKBONES:
            raise ValueError(f"SSPLNet: backbone {backbone!r} is none of {', '.join(BACKBONES)}")
        self.config = {"backbone": backbone, "width": width, "size": tuple(size), "regions": regions}
        self.encoder = BACKBONES[backbone](width)
        channels = 8 * width
        self.place, self.angle = nn.Linear(TILES * channels, TILES), nn.Linear(TILES * channels, ANGLES)
        self.presence = nn.Conv2d(channels, regions, 1)  # a linear layer that all tiles share
        self.decoder = Decoder(channels, self.encoder.halvings, width, regions)

    def forward(self, x):
        """x (N, 3, H, W) → logits of the turned tile (N, 9), of its angle (N, 4), of the regions of each pixel
        (N, 7, ⌈H/2⌉, ⌈W/2⌉) and of the regions that each tile has (N, 7, 3, 3). Tiles are counted in reading order.
        """
        size = tuple(x.shape[2:])
        x = self.encoder(x)
        cells = ops.spatial_pyramid_pool(x, (GRID,))  # (N, C·9), channel by channel
        by_tile = ops.reshape(cells, (*x.shape[:2], GRID, GRID))
        return self.place(cells), self.angle(cells), self.decoder(x, size), self.presence(by_tile)


class Decoder(nn.Module):
    """From a map that was halved k times to logits at half the image's size: (convolution → up-sampling) k − 1 times.

    Each block has half as many channels as the one before, but at least `width`. halvings: k, each rounded up.
    """

    def __init__(self, channels, halvings, width, regions):
        widths = [max(channels >> i, width) for i in range(halvings + 1)]
        self.blocks = [ConvBlock(a, b) for a, b in pairwise(widths[:-1])]
        self.last = ConvBlock(widths[-2], widths[-1])
        self.head = nn.Conv2d(widths[-1], regions, 3, padding=1)

    def forward(self, x, size):
        """x: the backbone's map of images of `size` (H, W) → (N, regions, ⌈H/2⌉, ⌈W/2⌉)."""
        sizes = [half(size)]
        for _ in self.blocks[1:]:
            sizes.insert(0, half(sizes[0]))
        for block, target in zip(self.blocks, sizes, strict=True):
            x = ops.upsample_nearest(block(x), target)
        return self.head(self.last(x))


def half(size):
    """(⌈H/2⌉, ⌈W/2⌉)."""
    return tuple(-(-length // 2) for length in size)
