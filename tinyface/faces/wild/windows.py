"""The window of a response map that a face fills (Liu et al. 2015, section 3.1), and where several faces are.

With r' = max(r − RESPONSE_FLOOR·max r, 0) of a map r, a window's score is

    score(window) = Σ r' in the window / √(its area)

[read] The paper divides by the window's "size"; by its area, the smallest window at the peak would always win, so
the size here is a side's length: for an even blob the best window is then the blob. In place of EdgeBoxes' 500
proposals it slides windows of one aspect and many heights over the map, by an integral image.

Several faces: clusters of high responses, by density peaks, and the best window of each.
"""

import numpy as np
from PIL import Image

ASPECT = 0.72  # width / height of a face box: 226 / 313, as CelebA's are
RESPONSE_FLOOR = 0.05  # responses below this share of the highest count as none
CLUSTER_FLOOR = 0.3  # and from this share on a cell may belong to a face of its own, where there are several
HEIGHTS = np.geomspace(0.15, 0.95, 18)  # of windows, as shares of the map's
FINE = 64  # cells along a side of the map that windows slide over


def integral(values):
    """Sums over all rectangles from the corner on: (h, w) → (h + 1, w + 1), the first row and column 0."""
    sums = np.zeros((values.shape[0] + 1, values.shape[1] + 1))
    sums[1:, 1:] = values.cumsum(axis=0, dtype=np.float64).cumsum(axis=1)
    return sums


def best_window(response, aspect=ASPECT, heights=HEIGHTS):
    """(score, window) of a response map (h, w); the window (4,) x, y, width, height in shares of the map's sides.

    aspect: width / height of the windows in these shares.
    """
    strong = np.maximum(response - RESPONSE_FLOOR * response.max(), 0).astype(np.float32)
    sums = integral(np.asarray(Image.fromarray(strong).resize((FINE, FINE), Image.Resampling.BILINEAR)))
    best = -1.0, np.array([0, 0, 1, 1])
    for share in heights:
        h, w = max(round(share * FINE), 1), max(round(share * aspect * FINE), 1)
        if w > FINE:
            continue
        inside = sums[h:, w:] - sums[:-h, w:] - sums[h:, :-w] + sums[:-h, :-w]
        y, x = np.unravel_index(inside.argmax(), inside.shape)
        score = inside[y, x] / np.sqrt(h * w)
        if score > best[0]:
            best = float(score), np.array([x, y, w, h])
    return best[0] / FINE, best[1] / FINE


def in_region(window, region):
    """A window in shares of a region (x, y, width, height) of a photo, in the photo's pixels."""
    (x, y, w, h), (left, top, width, height) = window, region
    return np.array([left + x * width, top + y * height, w * width, h * height])


# ---------------------------------------------------------------- several faces


def density_peaks(points, weights, radius):
    """Which points stand for a cluster each, the most certain first (section 3.1, "multiple faces").

        ρ_i = Σ_j w_j exp(−‖p_i − p_j‖² / radius²)      how dense it is around the point, as a share of the highest
        σ_i = the distance to the nearest denser point   of the densest: the farthest; as a share of the largest
        d_i = √(ρ_i² + σ_i²)

    A centre is dense and far from anything denser. [read] A point counts where both say so: it is at least half as
    dense as the densest, and σ is more than twice the radius; such points are ordered by d.
    points (N, 2), weights (N,) → indices.
    """
    points, weights = np.asarray(points, dtype=np.float64), np.asarray(weights, dtype=np.float64)
    distance = np.sqrt(((points[:, None] - points) ** 2).sum(axis=-1))
    rho = np.exp(-((distance / radius) ** 2)) @ weights
    order = np.argsort(-rho, kind="stable")
    sigma = np.empty(len(points))
    for rank, index in enumerate(order):
        sigma[index] = distance[index, order[:rank]].min() if rank else distance[index].max()
    d = np.hypot(rho / rho.max(), sigma / max(sigma.max(), 1e-12))
    chosen = [
        i for rank, i in enumerate(order) if not rank or (rho[i] > rho.max() / 2 and sigma[i] > 2 * radius)
    ]
    return sorted(chosen, key=lambda i: -d[i])


def several_windows(response, aspect=ASPECT, radius=0.12):
    """`best_window` of each cluster of a response map, the most certain first: list of (score, window).

    radius: of a cluster, in shares of the map's sides. A cell belongs to the nearest centre.
    """
    h, w = response.shape
    strong = np.argwhere(response > CLUSTER_FLOOR * response.max())
    if not len(strong):
        return [best_window(response, aspect)]
    places, weights = (strong[:, ::-1] + 0.5) / (w, h), response[tuple(strong.T)]
    centres = places[density_peaks(places, weights, radius)]
    x, y = np.meshgrid((np.arange(w) + 0.5) / w, (np.arange(h) + 0.5) / h)
    nearest = np.argmin([(x - cx) ** 2 + (y - cy) ** 2 for cx, cy in centres], axis=0)
    return [best_window(np.where(nearest == k, response, 0), aspect) for k in range(len(centres))]
