"""The attribute network: 40 attributes of a face, with the help of its regions (Kalayeh et al. 2017).

mode    what stands where                                                                section
avg     twelve convolution layers, global average pooling, one linear layer              3.1.1
ssp     the pooling is per region; a second branch weighs the regions' scores            3.1.2
concat  the pooling is per region; one linear layer on all regions' features             3.1.2
ssg     before MaxPool3 each region has its own, masked copy of the activations          3.1.3
joint   SSG's gate and SSP's head in one network                                         beyond the paper
spp     the pooling is a pyramid of 1×1 and 2×2 cells (SPPNet*)                          4.3.1
naive   the seven maps of regions are input channels beside the image's three            4.3.1
bbox    SSP's head on boxes around five landmarks in place of regions                    4.3.1
"""

import numpy as np

from tinyface import nn, ops
from tinyface.core import Tensor

from .. import choices
from ..choices import REGION_POOLINGS
from .encoder import ConvBlock, Encoder, norm_act
from .masks import LANDMARKS, box_masks, region_masks
from .pooling_heads import ConcatHead, GlobalHead, PyramidHead, RegionHead
from .segmentation import REGIONS

ATTRIBUTES = 40
MODES = tuple(choices.MODES)
# How many heads of the segmentation network are needed: up to Deconv33, Deconv23 or Deconv13. By bbox only where no
# landmarks are given.
HEADS_NEEDED = {
    "avg": 0, "ssp": 3, "ssg": 2, "spp": 0, "naive": 4, "bbox": 4, "concat": 3, "joint": 3, "resnet18": 0
}  # fmt: skip
GATED = ("ssg", "joint")
POOLED_BY_REGION = ("ssp", "concat", "joint")
GATE_EPSILON = 1e-12  # of the norm behind SSG's gate


class AttributeNet(nn.Module):
    """Twelve 3×3 convolution layers and a head for 40 attributes.

    width: channels of the first level; the paper's is 64. size: of the images it is meant for.
    region_pooling: "mean" or "sum", what SSP's head and its relatives take of a map under a region's mask.
    """

    def __init__(
        self,
        width=64,
        mode="avg",
        size=(218, 178),
        attributes=ATTRIBUTES,
        regions=REGIONS,
        region_pooling="mean",
    ):
        if mode not in MODES:
            raise ValueError(f"AttributeNet: mode {mode!r} is none of {', '.join(MODES)}")
        if region_pooling not in REGION_POOLINGS:
            raise ValueError(
                f"AttributeNet: region_pooling {region_pooling!r} is none of {', '.join(REGION_POOLINGS)}"
            )
        self.config = {
            "width": width,
            "mode": mode,
            "size": tuple(size),
            "attributes": attributes,
            "regions": regions,
            "region_pooling": region_pooling,
        }
        self.mode = mode
        channels = 3
        if mode == "naive":
            channels += regions
            self.input_norm = nn.BatchNorm2d(channels)
        self.encoder = Encoder(width, channels)
        if mode in GATED:
            self.encoder.conv32 = GatedConvBlock(4 * width, regions)
        self.conv43, self.conv44 = ConvBlock(8 * width, 8 * width), ConvBlock(8 * width, 8 * width)
        self.pool4 = nn.MaxPool2d(2, ceil_mode=True)
        self.conv51, self.conv52 = ConvBlock(8 * width, 16 * width), ConvBlock(16 * width, 16 * width)
        if mode == "concat":
            self.head = ConcatHead(16 * width, attributes, regions, region_pooling)
        elif mode == "spp":
            self.head = PyramidHead(16 * width, attributes)
        elif mode in ("ssp", "bbox", "joint"):
            self.head = RegionHead(16 * width, attributes, region_pooling)
        else:
            self.head = GlobalHead(16 * width, attributes)

    def forward(self, x, heads=None, landmarks=None):
        """x (N, 3, H, W) → logits (N, attributes).

        heads: the segmentation network's logits, coarse to fine, as many as HEADS_NEEDED says.
        landmarks: for bbox instead of them, array (N, 5, 2): x, y in pixels of the image, where x is ("cpu", "cuda").
        """
        self._check(x, heads, landmarks)
        size = x.shape[2:]
        x = self.features(x, heads)
        if self.mode == "bbox":
            return self.head(x, Tensor(box_masks(landmarks, size, x.dtype)))
        return self.head(x, region_masks(heads[2])) if self.mode in POOLED_BY_REGION else self.head(x)

    def example_inputs(self, size):
        """Arguments of `forward` for one black image of `size`, for tinyface.summary."""
        dtype, scales = self.parameters()[0].dtype, ([-(-n // 2**k) for n in size] for k in (3, 2, 1, 0))
        heads = [Tensor(np.zeros((1, self.config["regions"], *scale), dtype)) for scale in scales]
        return Tensor(np.zeros((1, 3, *size), dtype)), heads, np.zeros((1, LANDMARKS, 2), np.float32)

    def features(self, x, heads=None):
        """The last convolution layer's map, before any pooling: (N, 3, H, W) → (N, 16·width, ⌈H/16⌉, ⌈W/16⌉).

        heads: as in `forward`. Figure 5 shows this map's channels.
        """
        encoder = self.encoder
        if self.mode == "naive":
            x = self.input_norm(ops.concat((x, ops.softmax(heads[3]))))
        x = encoder.until_conv31(x)
        if self.mode in GATED:
            x = encoder.conv32(x, heads[1], encoder.pool3)
        else:
            x = encoder.pool3(encoder.conv32(x))
        return self.after_encoder(encoder.conv4(x))

    def after_encoder(self, x):
        """The encoder's output (N, 8·width, ⌈H/8⌉, ⌈W/8⌉) → the map of `features`."""
        x = self.conv44(self.conv43(x))
        return self.conv52(self.conv51(self.pool4(x)))

    def classify(self, x):
        """The encoder's output → the logits of `forward`, for modes whose head needs only the map, such as avg."""
        return self.head(self.after_encoder(x))

    def _check(self, x, heads, landmarks):
        """Raises ValueError where what the mode needs is missing."""
        if self.mode == "bbox":
            shape = getattr(landmarks, "shape", None)
            if shape != (x.shape[0], LANDMARKS, 2):
                raise ValueError(f"AttributeNet: mode bbox needs landmarks ({x.shape[0]}, 5, 2), got {shape}")
            return
        needed, got = HEADS_NEEDED[self.mode], len(heads or ())
        if got < needed:
            raise ValueError(
                f"AttributeNet: mode {self.mode} needs {needed} maps of the segmentation network, got {got}"
            )

    def load_encoder_from(self, segmentation_net):
        """Copy the weights of the first eight layers from a trained SegmentationNet or SSPLNet.

        Beyond the paper, which trains from scratch. What has no counterpart of its shape
        there, as in SSG's gate and the naive network's first kernels, keeps its initial values.
        Raises ValueError where the trained network is of another width, or has another backbone.
        """
        backbone = segmentation_net.config.get("backbone", "encoder")
        if backbone != "encoder":
            raise ValueError(
                f"AttributeNet: mode {self.mode} can't load the encoder of a network of backbone {backbone}"
            )
        if segmentation_net.config["width"] != self.config["width"]:
            raise ValueError(
                f"AttributeNet: width {self.config['width']} can't load the encoder of one of width "
                f"{segmentation_net.config['width']}"
            )
        own, theirs = self.encoder.state_dict(), segmentation_net.encoder.state_dict()
        own.update({n: a for n, a in theirs.items() if n in own and own[n].shape == a.shape})
        self.encoder.load_state_dict(own)

    @property
    def region_weights(self):
        """Weights of the last forward pass, array (N, regions, attributes): what Figure 4 shows of SSP.

        Of ssp and joint, and of bbox for its 16 boxes.
        """
        return self.head.region_weights


class GatedConvBlock(nn.Module):
    """SSG, in place of Conv32 and MaxPool3 (section 3.1.3): each region has its own copy of the map.

    3×3 convolution → gate by each region's mask → BN → PReLU → max pooling → 1×1 convolution back. The gate
    stands right after the convolution and before the norm: masks that sum to 1 are tiny (1/2475 where they
    are flat, at the paper's size), and the norm brings the gated copies back to a common scale. Its epsilon
    must lie far below their variance, about 1e-7.
    """

    def __init__(self, channels, regions):
        self.conv = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(regions * channels, eps=GATE_EPSILON)
        self.act = nn.PReLU(regions * channels)
        self.merge = nn.Conv2d(regions * channels, channels, 1)

    def forward(self, x, logits, pool):
        gated = ops.region_gate(self.conv(x), ops.softmax(logits))
        return self.merge(pool(norm_act(gated, self.norm, self.act)))
