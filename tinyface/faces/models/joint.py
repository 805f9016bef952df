"""The reverse problem: segmentation and attribute network share their first eight layers (Kalayeh et al., 4.4).

labelled faces   ─┐             ┌─ decoder, four heads               → segmentation loss ─┐
                  ├─ encoder ───┤                                                         ├─ + → one step
faces with       ─┘             └─ Conv43 … Conv52, pooling, linear  → attribute loss ────┘
attributes
"""

from tinyface import nn, ops

from .attributes import AttributeNet
from .segmentation import SegmentationNet


class JointNet(nn.Module):
    """A SegmentationNet, `parser`, and a basic AttributeNet, `reader`, with one Encoder for both.

    width: channels of the first level; the paper's is 64. size: (height, width) of the images it is meant for.
    Each of the two works by itself as well, and shares the weights with the whole.
    """

    def __init__(self, width=64, size=(218, 178)):
        self.config = {"width": width, "size": tuple(size)}
        parser, reader = SegmentationNet(width, size), AttributeNet(width, "avg", size)
        reader.encoder = parser.encoder
        self.encoder = parser.encoder
        self.parser, self.reader = parser, reader

    def forward(self, labelled, attributed):
        """(N, 3, H, W) and (M, 3, H, W) → segmentation logits of the first, coarse to fine, and (M, 40) of the second.

        Both go through the encoder as one batch, so that its batch normalisation sees what both have in common
        (docs/decisions.md). Raises ValueError where their sizes differ.
        """
        n = labelled.shape[0]
        x = self.encoder(ops.concat((labelled, attributed), axis=0))
        return self.parser.decode(x[:n], labelled.shape[2:]), self.reader.classify(x[n:])
