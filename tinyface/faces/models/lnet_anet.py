"""LNet and ANet of Liu et al. 2015: where the face is, learned from tags alone, and its attributes.

LNet   five convolution layers as AlexNet's, trained to predict a photo's 40 tags; then the layer of tags is unused,
       and the mean over the channels of the fifth layer's map shows where the face is (section 3.1).
       LNet_o sees the whole photo and finds head and shoulders, LNet_s sees these and finds the face.
ANet   C1 and C2 are convolutions, C3 and C4 locally shared ones, then a fully connected layer whose features serve
       to predict identities first, attributes later (section 3.2).

    ANet                                               channels
    C1    5×5, stride 2; BN, ReLU; pool 2, stride 2      width
    C2    3×3; BN, ReLU; pool 2, stride 2              2·width
    C3    3×3, a filter for each of 3×3 cells; ReLU    3·width
    C4    2×2, a filter for each of 2×2 cells; ReLU    4·width
    FC    linear; BN, ReLU                            features

A C4 filter takes the same place of four neighbouring cells of C3's map, so cell 1 of C4 reads cells 1, 2, 4, 5 of C3,
cell 2 reads 2, 3, 5, 6 and so on, as the paper says: a 2×2 kernel whose dilation is the side of a cell.
No padding anywhere in ANet: what it sees of a patch is the same when the patch is part of a larger image.
"""

import numpy as np

from tinyface import backend, nn, ops
from tinyface.nn.init import constant, he_normal

from .svm import fit_svm

ATTRIBUTES = 40
NO_TAG = -4.0  # logit of every tag where the map is zero: a probability of 2 %
FIRST = {2: (7, 3), 4: (11, 2)}  # stride of LNet's C1 → its kernel and padding; AlexNet's is 4
CELLS, PAIRS = (3, 3), (2, 2)  # of C3 and C4


class NormedConv(nn.Module):
    """Convolution → batch normalisation → ReLU. AlexNet has local response normalisation behind its first layers."""

    def __init__(self, in_channels, out_channels, kernel, stride=1, padding=0):
        self.conv = nn.Conv2d(in_channels, out_channels, kernel, stride, padding, bias=False)
        self.norm = nn.BatchNorm2d(out_channels)

    def forward(self, x):
        return ops.relu(self.norm(self.conv(x)))


class TagLayer(nn.Module):
    """Weights · each channel's maximum + NO_TAG: (N, channels, h, h) → logits (N, attributes)."""

    def __init__(self, channels, attributes):
        self.weight = he_normal((attributes, channels), channels, slope=1)

    def forward(self, x):
        maxima = ops.max_pool2d(x, x.shape[2]).reshape(x.shape[:2])
        return ops.linear(maxima, self.weight) + NO_TAG


class LNet(nn.Module):
    """Tags of a photo, and where in it they come from.

    The tags' layer takes each channel's maximum, and has no bias to learn: its logits are weights · maximum of C5 +
    NO_TAG. A photo of nothing has no tags, so zero responses are right there, and the map must respond to a face. With
    a learned bias the network may as well respond to clutter and not to faces; then its mean shows nothing. And a
    maximum is as high for a small face as for a large one.

    width: in 32nds of AlexNet, which has 96, 256, 384, 384, 256 channels. size: (height, width) of its images.
    stride: of C1; 4 at the paper's 227×227, 2 for smaller images. C5's map has a cell for every 4·stride pixels.
    """

    def __init__(self, width=32, size=(227, 227), stride=4, attributes=ATTRIBUTES):
        if stride not in FIRST:
            raise ValueError(f"LNet: stride must be one of {', '.join(map(str, FIRST))}, got {stride}")
        if size[0] != size[1] or not 32 <= size[0] <= 57 * stride:
            raise ValueError(
                f"LNet: images must be square, of 32 to {57 * stride} pixels, got {size[0]}×{size[1]}"
            )
        self.config = {"width": width, "size": tuple(size), "stride": stride, "attributes": attributes}
        w, (kernel, padding) = width, FIRST[stride]
        self.conv1 = NormedConv(3, 3 * w, kernel, stride, padding)
        self.pool1 = nn.MaxPool2d(3, 2, ceil_mode=True)
        self.conv2 = NormedConv(3 * w, 8 * w, 5, padding=2)
        self.pool2 = nn.MaxPool2d(3, 2, ceil_mode=True)
        self.conv3 = NormedConv(8 * w, 12 * w, 3, padding=1)
        self.conv4 = NormedConv(12 * w, 12 * w, 3, padding=1)
        self.conv5 = NormedConv(12 * w, 8 * w, 3, padding=1)
        self.tags = TagLayer(8 * w, attributes)

    def features(self, x):
        """C5: (N, 3, H, W) → (N, 8·width, h, w)."""
        x = self.pool2(self.conv2(self.pool1(self.conv1(x))))
        return self.conv5(self.conv4(self.conv3(x)))

    def forward(self, x):
        """x (N, 3, H, W) → logits of the tags (N, attributes)."""
        return self.tags(self.features(x))

    def response(self, x):
        """The response map: (N, 3, H, W) → (N, h, w), C5's mean over its channels."""
        return ops.mean(self.features(x), axis=1)


class LocallySharedConv2d(nn.Module):
    """`ops.locally_shared_conv2d` with a weight (*grid, out, in, k, k) and a bias (*grid, out)."""

    def __init__(self, in_channels, out_channels, kernel, grid, dilation=1):
        self.dilation = dilation
        shape = (*grid, out_channels, in_channels, kernel, kernel)
        self.weight = he_normal(shape, in_channels * kernel**2, slope=0)
        self.bias = constant(shape[:3], 0)

    def forward(self, x):
        return ops.locally_shared_conv2d(x, self.weight, self.bias, self.dilation)


class ANet(nn.Module):
    """Features of a face, and from them logits of `outputs` identities or attributes.

    size: (height, width) of its patches, square, such that C3's map divides into 3×3 cells.
    """

    def __init__(self, width=16, size=(64, 64), features=160, outputs=ATTRIBUTES):
        cell = cell_side(size)
        self.config = {"width": width, "size": tuple(size), "features": features, "outputs": outputs}
        self.cell = cell
        self.conv1, self.pool1 = NormedConv(3, width, 5, 2), nn.MaxPool2d(2)
        self.conv2, self.pool2 = NormedConv(width, 2 * width, 3), nn.MaxPool2d(2)
        self.conv3 = LocallySharedConv2d(2 * width, 3 * width, 3, CELLS)
        self.conv4 = LocallySharedConv2d(3 * width, 4 * width, 2, PAIRS, dilation=cell)
        self.full, self.norm = nn.Linear(4 * width * (2 * cell) ** 2, features), nn.BatchNorm2d(features)
        self.head = nn.Linear(features, outputs)

    def shared(self, x):
        """C1 and C2, which are the same everywhere in an image: (N, 3, H, W) → (N, 2·width, h, w)."""
        return self.pool2(self.conv2(self.pool1(self.conv1(x))))

    def local(self, c2):
        """C3 and C4: C2 of a patch → (N, 4·width, 2·cell, 2·cell)."""
        return ops.relu(self.conv4(ops.relu(self.conv3(c2))))

    def describe(self, c4):
        """C4 of a patch → the features of FC (N, features)."""
        return ops.relu(self.norm(self.full(c4.reshape((c4.shape[0], -1)))))

    def features(self, x):
        """Patches (N, 3, H, W) → the features of FC (N, features)."""
        return self.describe(self.local(self.shared(x)))

    def forward(self, x):
        """x (N, 3, H, W) → logits (N, outputs)."""
        return self.head(self.features(x))

    def load_encoder_from(self, other):
        """Copy all weights but the head's from another ANet: attributes after identities."""
        theirs = {name: a for name, a in other.state_dict().items() if not name.startswith("head.")}
        self.load_state_dict({**self.state_dict(), **theirs})


STEP = 8  # pixels of an ANet patch for each cell of C2's map


def patch(network, images, number=None):
    """A patch of an ANet's size of each of images (N, 3, S, S): (N, 3, side, side).

    number: of the first image's patch, in reading order, STEP pixels from one to the next; the next image's is the next
    one, round and round, so that a batch has of all. Without it, the one in the middle of each.
    """
    xp, side = backend.get_array_module(images), network.config["size"][0]
    patches = xp.lib.stride_tricks.sliding_window_view(images, (side, side), (2, 3))[:, :, ::STEP, ::STEP]
    across, each = patches.shape[2], xp.arange(len(images))
    chosen = xp.full_like(each, across // 2 * (across + 1)) if number is None else (number + each) % across**2
    return patches[each, :, chosen // across, chosen % across]


def cell_side(size):
    """The side of a cell of C3's map, for patches of this size. Raises ValueError where there is no whole one."""
    sides = [shared_length(length) - 2 for length in size]
    if sides[0] != sides[1] or sides[0] < 3 or sides[0] % 3:
        known = ", ".join(str(n) for n in range(40, 260) if (shared_length(n) - 2) % 3 == 0 and n % STEP == 0)
        raise ValueError(
            f"ANet: patches of {size[0]}×{size[1]} have no 3×3 equal cells; sides such as {known} do"
        )
    return sides[0] // 3


def shared_length(length):
    """How many cells C2's map has along an image of so many pixels."""
    return (((length - 5) // 2 + 1) // 2 - 2) // 2


class AttributeSVM(nn.Module):
    """One linear SVM per attribute on ANet's features, brought to mean 0 and deviation 1 first.

        score = w · (f − mean) / deviation + b      ≥ 0: has it

    Nothing in it is trained step by step: `tinyface/faces/models/svm.py` finds w and b.
    """

    def __init__(self, features=160, attributes=ATTRIBUTES):
        self.config = {"features": features, "attributes": attributes}
        self.mean, self.deviation = np.zeros(features, np.float32), np.ones(features, np.float32)
        self.weight, self.bias = (
            np.zeros((attributes, features), np.float32),
            np.zeros(attributes, np.float32),
        )

    def fit(self, features, targets, c=0.001):
        """Fit the machines to features (N, F) and targets (N, A) of 0 and 1, on the host."""
        self.mean[...], deviation = features.mean(axis=0), features.std(axis=0)
        self.deviation[...] = np.where(deviation > 1e-6, deviation, 1)
        self.weight[...], self.bias[...] = fit_svm((features - self.mean) / self.deviation, targets, c)
        return self

    def scores(self, features):
        """Features (…, F) → scores (…, attributes), on the host."""
        return (features - self.mean) / self.deviation @ self.weight.T + self.bias
