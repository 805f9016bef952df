"""The paper's networks once more, in PyTorch: what tinyface's own are held against, in tests and in benchmarks.

Written from the paper and not from tinyface's code. Parameters are defined in the same order, so that
`copy_weights` can pair them.
"""

from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import nn

from tinyface import backend


def block(layer, channels_in, channels_out):
    """3×3 (transposed) convolution → BN → PReLU."""
    return nn.Sequential(
        layer(channels_in, channels_out, 3, padding=1, bias=False),
        nn.BatchNorm2d(channels_out),
        nn.PReLU(channels_out),
    )


def pool(x):
    return F.max_pool2d(x, 2, ceil_mode=True)


class GatedConv32(nn.Module):
    """SSG: convolution → gate → BN → PReLU → pool → 1×1 convolution."""

    def __init__(self, w):
        super().__init__()
        self.conv = nn.Conv2d(4 * w, 4 * w, 3, padding=1, bias=False)
        self.norm, self.act = nn.BatchNorm2d(28 * w, eps=1e-12), nn.PReLU(28 * w)
        self.merge = nn.Conv2d(28 * w, 4 * w, 1)

    def forward(self, x, logits):
        masks = F.softmax(logits, dim=1)
        masks = masks / masks.sum((2, 3), keepdim=True)
        gated = (masks[:, :, None] * self.conv(x)[:, None]).flatten(1, 2)
        return self.merge(pool(self.act(self.norm(gated))))


class Encoder(nn.Module):
    def __init__(self, w, gated=False, in_channels=3):
        super().__init__()
        channels = [in_channels, w, w, 2 * w, 2 * w, 4 * w, 4 * w, 8 * w, 8 * w]
        self.blocks = nn.ModuleList(block(nn.Conv2d, *channels[i : i + 2]) for i in range(8))
        if gated:
            self.blocks[5] = GatedConv32(w)

    def until_conv31(self, x):
        b = self.blocks
        return b[4](pool(b[3](b[2](pool(b[1](b[0](x)))))))

    def until_pool3(self, x, gate=()):
        x = self.blocks[5](self.until_conv31(x), *gate)
        return x if gate else pool(x)

    def conv4(self, x):
        return self.blocks[7](self.blocks[6](x))

    def forward(self, x):
        return self.conv4(self.until_pool3(x))


class TorchSegmentationNet(nn.Module):
    """Table 1, four heads, coarse to fine."""

    def __init__(self, width):
        super().__init__()
        self.encoder = Encoder(width)
        channels = [8 * width, 8 * width, 4 * width, 2 * width, width]
        self.levels = nn.ModuleList(
            nn.ModuleList(
                [
                    block(nn.ConvTranspose2d, channels[i], channels[i + 1]),
                    block(nn.ConvTranspose2d, channels[i + 1], channels[i + 1]),
                    nn.ConvTranspose2d(channels[i + 1], 7, 3, padding=1),
                ]
            )
            for i in range(4)
        )

    def forward(self, x, heads=4):
        return self.decode(self.encoder(x), x.shape[2:], heads)

    def decode(self, x, size, heads=4):
        sizes = [size]
        for _ in range(3):
            sizes.append(torch.Size(-(-length // 2) for length in sizes[-1]))
        logits = []
        for level, (first, second, head) in enumerate(list(self.levels)[:heads]):
            if level:
                h, w = sizes[3 - level]
                x = F.interpolate(x, scale_factor=2, mode="nearest")[:, :, :h, :w]
            x = second(first(x))
            logits.append(head(x))
        return logits


def segmentation_loss(heads, labels):
    """Four cross-entropies, added. labels: (N, H, W) int64."""
    maps = labels[:, None].double()
    small = (F.interpolate(maps, size=head.shape[2:], mode="nearest-exact")[:, 0].long() for head in heads)
    return sum(F.cross_entropy(head, map, ignore_index=-1) for head, map in zip(heads, small, strict=True))


class TorchAttributeNet(nn.Module):
    """mode: one of tinyface's MODES."""

    def __init__(self, width, mode):
        super().__init__()
        w, self.mode = width, mode
        if mode == "naive":
            self.input_norm = nn.BatchNorm2d(10)
        self.encoder = Encoder(w, gated=mode in ("ssg", "joint"), in_channels=10 if mode == "naive" else 3)
        channels = [8 * w, 8 * w, 8 * w, 16 * w, 16 * w]
        self.blocks = nn.ModuleList(block(nn.Conv2d, *channels[i : i + 2]) for i in range(4))
        features = {"spp": 1 + 4, "concat": 7}.get(mode, 1) * 16 * w
        self.recognition = nn.Linear(features, 40)
        if mode in ("ssp", "joint", "bbox"):
            self.localization = nn.Linear(16 * w, 40)

    def forward(self, x, heads=None, landmarks=None):
        size = x.shape[2:]
        if self.mode == "naive":
            x = self.input_norm(torch.cat([x, F.softmax(heads[3], dim=1)], dim=1))
        x = self.encoder.until_pool3(x, gate=(heads[1],) if self.mode in ("ssg", "joint") else ())
        return self.classify(self.encoder.conv4(x), size, heads, landmarks)

    def classify(self, x, size, heads=None, landmarks=None):
        """The encoder's output, of images of this size, to logits."""
        x = self.blocks[1](self.blocks[0](x))
        x = self.blocks[3](self.blocks[2](pool(x)))
        if self.mode == "spp":
            return self.recognition(torch.cat([F.adaptive_avg_pool2d(x, n).flatten(1) for n in (1, 2)], 1))
        if self.mode in ("avg", "ssg", "naive"):
            return self.recognition(x.mean((2, 3)))
        masks = box_masks(landmarks, size) if self.mode == "bbox" else region_masks(heads[2])
        sums = torch.einsum("nrp,ncp->nrc", masks.flatten(2), x.flatten(2))
        features = sums / (masks.sum((2, 3))[..., None] + 1e-12)
        if self.mode == "concat":
            return self.recognition(features.flatten(1))
        weights = F.softmax(self.localization(features), dim=1)
        return (weights * self.recognition(features)).sum(1)


class TorchJointNet(nn.Module):
    """Section 4.4: the two networks with one encoder, through which both batches go as one."""

    def __init__(self, width):
        super().__init__()
        self.parser, self.reader = TorchSegmentationNet(width), TorchAttributeNet(width, "avg")
        self.reader.encoder = self.parser.encoder

    def forward(self, labelled, attributed):
        x = self.parser.encoder(torch.cat([labelled, attributed]))
        n = len(labelled)
        return self.parser.decode(x[:n], labelled.shape[2:]), self.reader.classify(
            x[n:], attributed.shape[2:]
        )


class ResidualBlock(nn.Module):
    """He et al. 2016, Figure 5 on the left, with a projection where the shape changes."""

    def __init__(self, channels_in, channels_out, stride):
        super().__init__()
        self.residual = nn.Sequential(
            nn.Conv2d(channels_in, channels_out, 3, stride, 1, bias=False),
            nn.BatchNorm2d(channels_out),
            nn.ReLU(),
            nn.Conv2d(channels_out, channels_out, 3, 1, 1, bias=False),
            nn.BatchNorm2d(channels_out),
        )
        self.shortcut = nn.Sequential()
        if stride > 1:
            self.shortcut = nn.Sequential(
                nn.Conv2d(channels_in, channels_out, 1, stride, bias=False), nn.BatchNorm2d(channels_out)
            )

    def forward(self, x):
        return F.relu(self.residual(x) + self.shortcut(x))


def resnet18(width):
    """ResNet-18 up to its global pooling."""
    w = width
    layers = [nn.Conv2d(3, w, 7, 2, 3, bias=False), nn.BatchNorm2d(w), nn.ReLU(), nn.MaxPool2d(3, 2, 1)]
    for channels_in, channels_out, stride in ((w, w, 1), (w, 2 * w, 2), (2 * w, 4 * w, 2), (4 * w, 8 * w, 2)):
        layers.append(ResidualBlock(channels_in, channels_out, stride))
        layers.append(ResidualBlock(channels_out, channels_out, 1))
    return nn.Sequential(*layers)


class TorchResNetAttributes(nn.Module):
    """ResNet-18 for 40 attributes."""

    def __init__(self, width):
        super().__init__()
        self.encoder, self.linear = resnet18(width), nn.Linear(8 * width, 40)

    def forward(self, x):
        return self.linear(self.encoder(x).mean((2, 3)))


class TorchSSPLNet(nn.Module):
    """A backbone with the heads of SSPL's three tasks: place, angle, map at half size, presence."""

    def __init__(self, backbone, width):
        super().__init__()
        deep = backbone == "resnet18"
        self.encoder = resnet18(width) if deep else Encoder(width)
        c = 8 * width
        self.place, self.angle, self.presence = nn.Linear(9 * c, 9), nn.Linear(9 * c, 4), nn.Conv2d(c, 7, 1)
        widths = [c, c // 2, c // 4, c // 8] + ([width] * 2 if deep else [])
        self.blocks = nn.ModuleList(block(nn.Conv2d, a, b) for a, b in pairwise(widths))
        self.head = nn.Conv2d(width, 7, 3, padding=1)

    def forward(self, x):
        sizes = [[-(-length // 2**k) for length in x.shape[2:]] for k in (4, 3, 2, 1)]
        x = self.encoder(x)
        cells = F.adaptive_avg_pool2d(x, 3)
        *blocks, last = self.blocks
        for convolve, size in zip(blocks, sizes[-len(blocks) :], strict=True):
            x = grow(convolve(x), size)
        flat = cells.flatten(1)
        return self.place(flat), self.angle(flat), self.head(last(x)), self.presence(cells)


def grow(x, size):
    """Every pixel four times, then cropped."""
    return x.repeat_interleave(2, dim=2).repeat_interleave(2, dim=3)[:, :, : size[0], : size[1]]


def region_masks(logits):
    """SSP's: softmax, then pooled by maximum (eyes, eyebrows, mouth, nose) or average."""
    masks = F.softmax(logits, dim=1)
    large, small = masks[:, :3], masks[:, 3:]
    for _ in range(3):
        large = F.avg_pool2d(large, 2, ceil_mode=True, count_include_pad=False)
        small = F.max_pool2d(small, 2, ceil_mode=True)
    return torch.cat([large, small], 1)


def box_masks(landmarks, size):
    """BBox's: the share of each 16×16 cell within each box. landmarks (N, 5, 2) in pixels → (N, 16, h, w)."""

    def shares(centres, side, length):
        """One axis: how much of the line lies in the interval up to each edge, and so between two of them."""
        edges = torch.arange(0, length + 15, 16, dtype=centres.dtype).clamp(max=length)
        centres = centres.clamp(0, length - 1)[..., None] + 0.5
        low, high = centres - side / 2, centres + side / 2
        return torch.minimum(torch.maximum(edges, low), high).diff() / edges.diff()

    (height, width), (x, y) = size, landmarks.unbind(2)
    boxes = []
    for along, across in ((1, 1), (2, 1), (1, 2)):
        unit = 20 / (along * across) ** 0.5
        rows = shares(y, unit * across * height / 218, height)
        columns = shares(x, unit * along * width / 178, width)
        boxes.append(torch.einsum("nph,npw->nphw", rows, columns))
    boxes = torch.stack(boxes, dim=2).flatten(1, 2)
    return torch.cat([torch.ones_like(boxes[:, :1]), boxes], dim=1)


def copy_weights(twin, network):
    """Give the PyTorch twin the parameters and running statistics of a tinyface network."""
    norms = [m for m in twin.modules() if isinstance(m, nn.BatchNorm2d)]
    buffers = [b for norm in norms for b in (norm.running_mean, norm.running_var)]
    theirs = [*twin.parameters(), *buffers]
    ours = [*(p.data for p in network.parameters()), *network.buffers()]
    with torch.no_grad():
        for target, source in zip(theirs, ours, strict=True):
            if tuple(target.shape) != source.shape:
                raise ValueError(
                    f"the twin has a tensor of shape {tuple(target.shape)} for one of {source.shape}"
                )
            target.copy_(torch.from_numpy(backend.to_device(source, "cpu").copy()))
