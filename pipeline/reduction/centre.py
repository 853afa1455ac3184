"""Where the direct beam lands on each frame: the bright disc itself, or Friedel pairs when it is hidden."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

Floats = NDArray[np.float64]


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
    smooth = ndimage.uniform_filter(part, 3)
    top = float(smooth.max())
    if top < 20 * (float(np.median(part)) + 1.0):
        return None
    labels, _ = ndimage.label(smooth > 0.1 * top)
    at = np.unravel_index(int(np.argmax(smooth)), smooth.shape)
    blob = labels == labels[at]
    if np.count_nonzero(blob) > 0.5 * blob.size:
        return None
    weight = np.where(blob, np.minimum(part, 0.5 * top), 0.0)
    yy, xx = np.mgrid[y0:y1, x0:x1]
    total = weight.sum()
    return float((weight * xx).sum() / total), float((weight * yy).sum() / total), top


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
