"""ResNet-18 (He, Zhang, Ren, Sun: *Deep Residual Learning for Image Recognition*, CVPR 2016, Table 1 and section 4.1).

conv1     7×7, stride 2 → BN → ReLU → 3×3 maximum, stride 2       w × H/4 × W/4
block1_   two blocks                                              w × H/4 × W/4
block2_   two blocks, the first of stride 2                      2w × H/8 × W/8
block3_   the same                                               4w × H/16 × W/16
block4_   the same                                               8w × H/32 × W/32

A block learns what to add to its input:   y = relu(x + F(x)),   F = 3×3 conv → BN → ReLU → 3×3 conv → BN
"""

from tinyface import nn, ops

from ..choices import RESNET

ATTRIBUTES = 40


class BasicBlock(nn.Module):
    """relu(shortcut(x) + F(x)): (N, in, H, W) → (N, out, ⌈H/stride⌉, ⌈W/stride⌉).

    The shortcut is x itself, or where the shape changes a 1×1 convolution → BN (the paper's option B).
    """

    def __init__(self, in_channels, out_channels, stride=1):
        self.conv1 = nn.Conv2d(in_channels, out_channels, 3, stride, padding=1, bias=False)
        self.norm1 = nn.BatchNorm2d(out_channels)
        self.conv2 = nn.Conv2d(out_channels, out_channels, 3, padding=1, bias=False)
        self.norm2 = nn.BatchNorm2d(out_channels)
        self.shortcut = None
        if stride != 1 or in_channels != out_channels:
            self.shortcut = nn.Conv2d(in_channels, out_channels, 1, stride, bias=False)
            self.shortcut_norm = nn.BatchNorm2d(out_channels)

    def forward(self, x):
        y = ops.relu(self.norm1(self.conv1(x)))
        y = self.norm2(self.conv2(y))
        return ops.relu(y + (self.shortcut_norm(self.shortcut(x)) if self.shortcut else x))


class ResNet18(nn.Module):
    """The seventeen convolution layers, without a classifier: (N, 3, H, W) → (N, 8·width, ⌈H/32⌉, ⌈W/32⌉).

    width: channels of the first level; the paper's is 64.
    """

    halvings = 5  # of the map, each rounded up

    def __init__(self, width=64):
        w = width
        self.conv1 = nn.Conv2d(3, w, 7, stride=2, padding=3, bias=False)
        self.norm1 = nn.BatchNorm2d(w)
        self.pool1 = nn.MaxPool2d(3, stride=2, padding=1)
        self.block11, self.block12 = BasicBlock(w, w), BasicBlock(w, w)
        self.block21, self.block22 = BasicBlock(w, 2 * w, 2), BasicBlock(2 * w, 2 * w)
        self.block31, self.block32 = BasicBlock(2 * w, 4 * w, 2), BasicBlock(4 * w, 4 * w)
        self.block41, self.block42 = BasicBlock(4 * w, 8 * w, 2), BasicBlock(8 * w, 8 * w)

    def forward(self, x):
        x = self.pool1(ops.relu(self.norm1(self.conv1(x))))
        x = self.block12(self.block11(x))
        x = self.block22(self.block21(x))
        x = self.block32(self.block31(x))
        return self.block42(self.block41(x))


class ResNetAttributes(nn.Module):
    """ResNet-18 with global average pooling and a linear layer for 40 attributes.

    width: as in ResNet18. size: (height, width) of the images it is meant for. It uses no regions.
    """

    mode = RESNET

    def __init__(self, width=64, size=(218, 178), attributes=ATTRIBUTES):
        self.config = {"width": width, "size": tuple(size), "attributes": attributes}
        self.encoder = ResNet18(width)
        self.linear = nn.Linear(8 * width, attributes)

    def forward(self, x, heads=None, landmarks=None):
        """x (N, 3, H, W) → logits (N, attributes). heads, landmarks: ignored; AttributeNet has them."""
        return self.linear(ops.global_avg_pool2d(self.encoder(x)))

    def load_encoder_from(self, trained):
        """Copy the weights of the ResNet-18 of a trained SSPLNet. Raises ValueError where it does not fit."""
        backbone, width = trained.config.get("backbone"), trained.config["width"]
        if backbone != RESNET:
            raise ValueError(
                f"{RESNET} can't load the encoder of a network of backbone {backbone or 'encoder'}"
            )
        if width != self.config["width"]:
            raise ValueError(f"{RESNET}: width {self.config['width']} can't load an encoder of width {width}")
        self.encoder.load_state_dict(trained.encoder.state_dict())
