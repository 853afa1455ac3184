"""Where the direct beam lands on each frame: the bright disc itself, or Friedel pairs when it is hidden."""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray
from scipy import ndimage

Floats = NDArray[np.float64]


@njit(cache=True)
def _means_of_nine(part):  # type: ignore[no-untyped-def]
    rows, columns = part.shape
    down = np.empty((rows, columns))
    out = np.empty((rows, columns))
    for i in range(rows):
        above, here, below = part[max(i - 1, 0)], part[i], part[min(i + 1, rows - 1)]
        for j in range(columns):
            down[i, j] = above[j] + here[j] + below[j]
    for i in range(rows):
        out[i, 0] = (2.0 * down[i, 0] + down[i, 1]) / 9.0
        out[i, columns - 1] = (down[i, columns - 2] + 2.0 * down[i, columns - 1]) / 9.0
        for j in range(1, columns - 1):
            out[i, j] = (down[i, j - 1] + down[i, j] + down[i, j + 1]) / 9.0
    return out


@njit(cache=True)
def _disc(part):  # type: ignore[no-untyped-def]
    """Centroid (column, row) of the pixels joined to the brightest one above a tenth of it, its value, and how many
    they are; 0 where less than half of all pixels lie far below it."""
    rows, columns = part.shape
    smooth = _means_of_nine(part)
    top = smooth.max()
    if np.sum(part <= top / 20.0 - 1.0) < part.size / 2:
        return 0.0, 0.0, top, 0
    start = np.argmax(smooth)
    seen = np.zeros((rows, columns), dtype=np.bool_)
    stack = np.empty(part.size, dtype=np.int64)
    stack[0] = start
    seen[start // columns, start % columns] = True
    waiting, number = 1, 0
    total, x, y = 0.0, 0.0, 0.0
    while waiting > 0:
        waiting -= 1
        i, j = stack[waiting] // columns, stack[waiting] % columns
        number += 1
        weight = min(part[i, j], 0.5 * top)
        total += weight
        x += weight * j
        y += weight * i
        for di, dj in ((-1, 0), (1, 0), (0, -1), (0, 1)):
            a, b = i + di, j + dj
            if 0 <= a < rows and 0 <= b < columns and not seen[a, b] and smooth[a, b] > 0.1 * top:
                seen[a, b] = True
                stack[waiting] = a * columns + b
                waiting += 1
    return x / total, y / total, top, number


def direct_beam_centre(
    *, image: NDArray[np.generic], bad_pixels: NDArray[np.bool_], start_px: tuple[float, float], reach_px: float = 60.0
) -> tuple[float, float, float] | None:
    """Centre of the bright disc within ``reach_px`` of ``start_px``: (fast, slow, peak counts); None when none
    stands out.

    The disc may be saturated: the centroid of the pixels above a tenth of the maximum is that of a symmetric shape
    all the same.
    """
    rows, columns = image.shape
    x0, x1 = max(int(start_px[0] - reach_px), 0), min(int(start_px[0] + reach_px) + 1, columns)
    y0, y1 = max(int(start_px[1] - reach_px), 0), min(int(start_px[1] + reach_px) + 1, rows)
    if x1 - x0 < 8 or y1 - y0 < 8:
        return None
    part = np.where(bad_pixels[y0:y1, x0:x1], 0, image[y0:y1, x0:x1]).astype(np.float64)
    x, y, top, number = _disc(part)
    if number == 0 or number > 0.5 * part.size:
        return None
    return x0 + x, y0 + y, top


def friedel_centre(
    *, points_px: Floats, start_px: tuple[float, float], reach_px: float = 30.0, tolerance_px: float = 1.5
) -> tuple[float, float, int]:
    """Point that most pairs of spots have in the middle: (fast, slow, pairs). points_px: (n, 2)."""
    middle = 0.5 * (points_px[:, None, :] + points_px[None, :, :])
    i, j = np.triu_indices(len(points_px), 1)
    candidates = middle[i, j]
    candidates = candidates[np.hypot(*(candidates - np.array(start_px)).T) < reach_px]
    if len(candidates) == 0:
        return start_px[0], start_px[1], 0
    counts = np.sum(
        np.hypot(*(candidates[:, None, :] - candidates[None, :, :]).transpose(2, 0, 1)) < tolerance_px, axis=1
    )
    best = candidates[int(np.argmax(counts))]
    near = candidates[np.hypot(*(candidates - best).T) < tolerance_px]
    return float(near[:, 0].mean()), float(near[:, 1].mean()), len(near)


def smooth_centres(*, centres_px: Floats, known: NDArray[np.bool_], outlier_px: float = 6.0) -> Floats:
    """Fill unknown frames and frames that jump away from the running median; (frames, 2) -> (frames, 2)."""
    frames = np.arange(len(centres_px))
    out = centres_px.copy()
    good = known.copy()
    if not np.any(good):
        return out
    for axis in range(2):
        filled = np.interp(frames, frames[good], centres_px[good, axis])
        running = ndimage.median_filter(filled, size=min(7, len(frames)), mode="nearest")
        good &= np.abs(filled - running) < outlier_px
    if not np.any(good):
        return out
    for axis in range(2):
        out[~good, axis] = np.interp(frames[~good], frames[good], centres_px[good, axis])
    return out
