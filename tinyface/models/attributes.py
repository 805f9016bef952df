"""The attribute network: 40 attributes off a face, helped by the regions of a parsed one (Kalayeh et al. 2017).

mode   what stands where                                                                section
avg    twelve convolution layers, global average pooling, one linear layer              3.1.1
ssp    the pooling is per region; a second branch weighs the regions' verdicts          3.1.2
ssg    before MaxPool3 each region has its own, masked copy of the activations          3.1.3
"""

from .. import nn, ops
from .encoder import ConvBlock, Encoder, norm_act
from .segmentation import REGIONS

ATTRIBUTES = 40
MODES = ("avg", "ssp", "ssg")
HEADS_NEEDED = {"avg": 0, "ssp": 3, "ssg": 2}  # how far the parser must run: Deconv23, Deconv33
GATE_EPSILON = 1e-12  # of the norm behind SSG's gate
AVERAGED_REGIONS = 3  # background, hair, face skin; eyes, eyebrows, mouth and nose come after them


class AttributeNet(nn.Module):
    """Twelve 3×3 convolution layers and a head for 40 attributes.

    width: channels of the first level; the paper's is 64. size: of the images it is meant for.
    """

    def __init__(self, width=64, mode="avg", size=(218, 178), attributes=ATTRIBUTES, regions=REGIONS):
        if mode not in MODES:
            raise ValueError(f"AttributeNet: mode {mode!r} is none of {', '.join(MODES)}")
        self.config = {
            "width": width,
            "mode": mode,
            "size": tuple(size),
            "attributes": attributes,
            "regions": regions,
        }
        self.mode = mode
        self.encoder = Encoder(width)
        if mode == "ssg":
            self.encoder.conv32 = GatedConvBlock(4 * width, regions)
        self.conv43, self.conv44 = ConvBlock(8 * width, 8 * width), ConvBlock(8 * width, 8 * width)
        self.pool4 = nn.MaxPool2d(2, ceil_mode=True)
        self.conv51, self.conv52 = ConvBlock(8 * width, 16 * width), ConvBlock(16 * width, 16 * width)
        self.head = (RegionHead if mode == "ssp" else GlobalHead)(16 * width, attributes)

    def forward(self, x, heads=None):
        """x (N, 3, H, W), heads: the parser's logits, coarse to fine (none for avg) → logits (N, attributes)."""
        needed = HEADS_NEEDED[self.mode]
        if len(heads or ()) < needed:
            raise ValueError(
                f"AttributeNet: mode {self.mode} needs {needed} maps of the parser, got {len(heads or ())}"
            )
        encoder = self.encoder
        x = encoder.until_conv31(x)
        if self.mode == "ssg":
            x = encoder.conv32(x, heads[1], encoder.pool3)
        else:
            x = encoder.pool3(encoder.conv32(x))
        return self.classify(encoder.conv4(x), heads)

    def classify(self, x, heads=None):
        """The encoder's output (N, 8·width, ⌈H/8⌉, ⌈W/8⌉) → the logits of `forward`."""
        x = self.conv44(self.conv43(x))
        x = self.conv52(self.conv51(self.pool4(x)))
        return self.head(x, heads)

    def begin_with(self, parser):
        """Take over the encoder of a trained SegmentationNet: the first eight layers then know what a face is.

        Beyond the paper, which trains from scratch. What SSG has and the parser has not keeps its first values.
        Raises ValueError where the parser is of another width.
        """
        if parser.config["width"] != self.config["width"]:
            raise ValueError(
                f"AttributeNet: width {self.config['width']} can't begin with a parser of {parser.config['width']}"
            )
        own, theirs = self.encoder.state_dict(), parser.encoder.state_dict()
        own.update({n: a for n, a in theirs.items() if n in own and own[n].shape == a.shape})
        self.encoder.load_state_dict(own)

    @property
    def region_weights(self):
        """SSP's weights of the last forward pass, array (N, regions, attributes): what Figure 4 shows."""
        return self.head.region_weights


class GlobalHead(nn.Module):
    """Global average pooling and a linear layer."""

    def __init__(self, channels, attributes):
        self.linear = nn.Linear(channels, attributes)

    def forward(self, x, heads):
        return self.linear(ops.global_avg_pool2d(x))


class RegionHead(nn.Module):
    """SSP: every region is pooled by itself, recognised, and weighed against the others (section 3.1.2).

    f_r = mean of x under region r's mask;  s = recognition(f), l = localization(f), both (N, R, attributes)
    w = softmax of l over the regions;  score of attribute a = Σ_r w[r,a]·s[r,a]
    """

    def __init__(self, channels, attributes):
        self.recognition = nn.Linear(channels, attributes)
        self.localization = nn.Linear(channels, attributes)

    def forward(self, x, heads):
        features = ops.region_pool(x, region_masks(heads[2]))
        weights = ops.softmax(self.localization(features), axis=1)
        self.last_weights = weights
        return ops.sum(weights * self.recognition(features), axis=1)

    @property
    def region_weights(self):
        return self.last_weights.numpy()


def region_masks(logits):
    """Deconv23's probabilities brought to the last map's size by three 2× ceil-mode poolings (section 5).

    Maximum for eyes, eyebrows, mouth and nose: it widens these small regions, which adds context; average for
    background, hair and skin. logits (N, 7, h, w) → (N, 7, ⌈h/8⌉, ⌈w/8⌉).
    """
    masks = ops.softmax(logits)
    large, small = masks[:, :AVERAGED_REGIONS], masks[:, AVERAGED_REGIONS:]
    for _ in range(3):
        large = ops.avg_pool2d(large, 2, ceil_mode=True)
        small = ops.max_pool2d(small, 2, ceil_mode=True)
    return ops.concat((large, small))


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
