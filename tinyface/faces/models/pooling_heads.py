"""Heads of the attribute network: how the last map (N, C, h, w) becomes 40 logits."""

from tinyface import nn, ops

from ..choices import REGION_POOLINGS as REGION_POOLINGS

PYRAMID = 1, 2  # cells along a side, of each level


class GlobalHead(nn.Module):
    """Global average pooling and a linear layer (section 3.1.1)."""

    def __init__(self, channels, attributes):
        self.linear = nn.Linear(channels, attributes)

    def forward(self, x):
        return self.linear(ops.global_avg_pool2d(x))


class PyramidHead(nn.Module):
    """SPPNet*: the means of the whole map and of its four quarters side by side, and a linear layer (section 4.3.1)."""

    def __init__(self, channels, attributes):
        self.linear = nn.Linear(channels * sum(cells**2 for cells in PYRAMID), attributes)

    def forward(self, x):
        return self.linear(ops.spatial_pyramid_pool(x, PYRAMID))


class RegionHead(nn.Module):
    """SSP: every region is pooled by itself, recognised, and weighed against the others (section 3.1.2).

    f_r = mean (or sum) of x under region r's mask;  s = recognition(f), l = localization(f), both (N, R, attributes)
    w = softmax of l over the regions;  score of attribute a = Σ_r w[r,a]·s[r,a]
    """

    def __init__(self, channels, attributes, pooling="mean"):
        self.pooling = pooling
        self.recognition = nn.Linear(channels, attributes)
        self.localization = nn.Linear(channels, attributes)

    def forward(self, x, masks):
        features = pool_regions(x, masks, self.pooling)
        weights = ops.softmax(self.localization(features), axis=1)
        self.last_weights = weights
        return ops.sum(weights * self.recognition(features), axis=1)

    @property
    def region_weights(self):
        return self.last_weights.numpy()


class ConcatHead(nn.Module):
    """The simple alternative to SSP's two branches: the regions' features side by side, and a linear layer (3.1.2)."""

    def __init__(self, channels, attributes, regions, pooling="mean"):
        self.pooling = pooling
        self.linear = nn.Linear(regions * channels, attributes)

    def forward(self, x, masks):
        features = pool_regions(x, masks, self.pooling)
        return self.linear(ops.reshape(features, (len(features), -1)))


def pool_regions(x, masks, pooling):
    """x (N, C, h, w), masks (N, R, h, w) → each region's features (N, R, C): its mean, or times its mask's sum."""
    means = ops.region_pool(x, masks)
    if pooling == "mean":
        return means
    return means * ops.reshape(ops.sum(masks, axis=(2, 3)), (*masks.shape[:2], 1))
