"""What lies under the spots: a clipped radial mean, and the mask of the direct beam.

Means, not medians: hybrid detectors count, and the median of a pixel that mostly reads 0 says nothing.
"""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]


@njit(cache=True)
def _radial_clipped(image, bad, cx, cy, bins, passes, clip):  # type: ignore[no-untyped-def]
    rows, columns = image.shape
    mean = np.zeros(bins)
    limit = np.full(bins, np.inf)
    for _ in range(passes):
        total = np.zeros(bins)
        squares = np.zeros(bins)
        number = np.zeros(bins)
        for i in range(rows):
            for j in range(columns):
                r = int(np.sqrt((i - cy) ** 2 + (j - cx) ** 2))
                if bad[i, j] or r >= bins or image[i, j] > limit[r]:
                    continue
                v = image[i, j]
                total[r] += v
                squares[r] += v * v
                number[r] += 1.0
        for r in range(bins):
            if number[r] > 0:
                mean[r] = total[r] / number[r]
                spread = np.sqrt(max(squares[r] / number[r] - mean[r] ** 2, mean[r], 0.25))
                limit[r] = mean[r] + clip * spread
    return mean, number


def radial_background(
    *, image: NDArray[np.floating], bad_pixels: Bools, centre_px: tuple[float, float], clip: float = 3.0
) -> Floats:
    """Clipped mean against the radius in whole px, (bins,), smoothed where rings hold few pixels."""
    rows, columns = image.shape
    corner = np.hypot(max(centre_px[0], columns - centre_px[0]), max(centre_px[1], rows - centre_px[1]))
    bins = int(corner) + 2
    values = np.ascontiguousarray(image, dtype=np.float32)
    mean, number = _radial_clipped(values, bad_pixels, centre_px[0], centre_px[1], bins, 5, clip)
    known = number > 0
    if not np.any(known):
        return np.zeros(bins)
    filled = np.interp(np.arange(bins), np.flatnonzero(known), mean[known])
    kernel = np.array([0.25, 0.5, 0.25])
    smooth = np.convolve(np.pad(filled, 1, mode="edge"), kernel, mode="valid")
    smooth[:8] = filled[:8]
    return np.asarray(smooth)


@njit(cache=True)
def _spread(profile, rows, columns, cx, cy):  # type: ignore[no-untyped-def]
    out = np.empty((rows, columns), dtype=np.float32)
    last = profile.shape[0] - 2
    for i in range(rows):
        for j in range(columns):
            r = np.sqrt((i - cy) ** 2 + (j - cx) ** 2)
            k = min(int(r), last)
            t = min(r - k, 1.0)
            out[i, j] = profile[k] * (1.0 - t) + profile[k + 1] * t
    return out


@njit(cache=True)
def _box_residual(image, model, bad, sigma_limit, half):  # type: ignore[no-untyped-def]
    rows, columns = image.shape
    step = half
    ny = rows // step + 2
    nx = columns // step + 2
    total = np.zeros((ny, nx))
    number = np.zeros((ny, nx))
    for i in range(rows):
        for j in range(columns):
            b = model[i, j]
            d = image[i, j] - b
            if bad[i, j] or d > sigma_limit * np.sqrt(b + 0.3):
                continue
            total[i // step + 1, j // step + 1] += d
            number[i // step + 1, j // step + 1] += 1.0
    grid = np.zeros((ny, nx))
    for i in range(ny):
        for j in range(nx):
            t = 0.0
            n = 0.0
            for u in range(max(i - 1, 0), min(i + 2, ny)):
                for v in range(max(j - 1, 0), min(j + 2, nx)):
                    t += total[u, v]
                    n += number[u, v]
            grid[i, j] = t / n if n > 20 else 0.0
    out = np.empty_like(model)
    for i in range(rows):
        y = (i + 0.5) / step + 0.5
        u = min(max(int(y), 0), ny - 2)
        ty = y - u
        for j in range(columns):
            x = (j + 0.5) / step + 0.5
            v = min(max(int(x), 0), nx - 2)
            tx = x - v
            r = (grid[u, v] * (1 - ty) + grid[u + 1, v] * ty) * (1 - tx)
            r += (grid[u, v + 1] * (1 - ty) + grid[u + 1, v + 1] * ty) * tx
            out[i, j] = max(model[i, j] + r, 0.02)
    return out


def frame_background(
    *, image: NDArray[np.floating], bad_pixels: Bools, centre_px: tuple[float, float]
) -> NDArray[np.float32]:
    """Background of one frame in counts, (slow, fast): radial part, then what is left of it in coarse boxes."""
    profile = radial_background(image=image, bad_pixels=bad_pixels, centre_px=centre_px)
    rows, columns = image.shape
    model = _spread(profile, rows, columns, centre_px[0], centre_px[1])
    values = np.ascontiguousarray(image, dtype=np.float32)
    return np.asarray(_box_residual(values, model, bad_pixels, 3.5, 24), dtype=np.float32)


def direct_beam_radius_px(*, profile: Floats, smallest_px: float = 4.0, largest_px: float = 40.0) -> float:
    """Radius inside which the direct beam rules: beyond it the radial mean changes by less than 12 % a px."""
    value = np.maximum(profile, 0.05)
    slope = -np.diff(np.log(value))
    level = np.median(value[: int(3 * largest_px)])
    for r in range(int(smallest_px), min(int(largest_px), len(slope) - 3)):
        if value[r] < 30 * level and np.all(slope[r : r + 2] < 0.12):
            return float(r)
    return float(largest_px)
