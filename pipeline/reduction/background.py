"""What lies under the spots: a clipped radial mean and what coarse boxes leave of it; the mask of the direct beam.

Means, not medians: hybrid detectors count, and the median of a pixel that mostly reads 0 says nothing.
A background is kept as its few hundred numbers (:class:`Background`) and spread over the frame when it is needed.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipeline.reduction.background_kernels import box_means, radial_clipped, spread_model
from twin.model.dataset import Dataset

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

CLIP = 3.0
BOX_PX = 24
LEAST_COUNTS = 0.02


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Background:
    """Counts against the radius in whole px about ``centre_px`` (fast, slow), and corrections in boxes of BOX_PX:
    boxes[i, j] in the middle of box (i − 1, j − 1)."""

    profile: Floats
    boxes: Floats
    centre_px: tuple[float, float]


def radial_background(
    *, image: NDArray[np.generic], bad_pixels: Bools, centre_px: tuple[float, float], clip: float = CLIP
) -> Floats:
    """Clipped mean against the radius in whole px, (bins,), smoothed where rings hold few pixels."""
    rows, columns = image.shape
    corner = np.hypot(max(centre_px[0], columns - centre_px[0]), max(centre_px[1], rows - centre_px[1]))
    bins = int(corner) + 2
    mean, number = radial_clipped(image, bad_pixels, centre_px[0], centre_px[1], bins, 5, clip)
    known = number > 0
    if not np.any(known):
        return np.zeros(bins)
    filled = np.interp(np.arange(bins), np.flatnonzero(known), mean[known])
    kernel = np.array([0.25, 0.5, 0.25])
    smooth = np.convolve(np.pad(filled, 1, mode="edge"), kernel, mode="valid")
    smooth[:8] = filled[:8]
    return np.asarray(smooth)


def fit_background(*, image: NDArray[np.generic], bad_pixels: Bools, centre_px: tuple[float, float]) -> Background:
    """Background of one frame (slow, fast) of counts."""
    profile = radial_background(image=image, bad_pixels=bad_pixels, centre_px=centre_px)
    boxes = box_means(image, profile, bad_pixels, centre_px[0], centre_px[1], 3.5, BOX_PX)
    return Background(profile=profile, boxes=boxes, centre_px=centre_px)


def spread_background(
    background: Background, shape: tuple[int, int], out: NDArray[np.float32] | None = None
) -> NDArray[np.float32]:
    """The background of each pixel in counts, (slow, fast), never below LEAST_COUNTS; in ``out`` where it is given."""
    image = np.empty(shape, dtype=np.float32) if out is None else out
    cx, cy = background.centre_px
    profile = background.profile
    rise = np.diff(profile, append=profile[-1]).astype(np.float32)
    spread_model(profile.astype(np.float32), rise, background.boxes, cx, cy, BOX_PX, LEAST_COUNTS, image)
    return image


def frame_background(
    *, image: NDArray[np.generic], bad_pixels: Bools, centre_px: tuple[float, float]
) -> NDArray[np.float32]:
    """Background of one frame in counts, (slow, fast)."""
    fitted = fit_background(image=image, bad_pixels=bad_pixels, centre_px=centre_px)
    return spread_background(fitted, (image.shape[0], image.shape[1]))


def direct_beam_radius_px(*, profile: Floats, smallest_px: float = 4.0, largest_px: float = 40.0) -> float:
    """Radius inside which the direct beam rules: beyond it the radial mean changes by less than 12 % a px."""
    value = np.maximum(profile, 0.05)
    slope = -np.diff(np.log(value))
    level = np.median(value[: int(3 * largest_px)])
    for r in range(int(smallest_px), min(int(largest_px), len(slope) - 3)):
        if value[r] < 30 * level and np.all(slope[r : r + 2] < 0.12):
            return float(r)
    return float(largest_px)


def series_bad_pixels(*, dataset: Dataset, frame: int) -> Bools:
    """Bad pixels and pixels at the end of their counter, (slow, fast); not to be written to."""
    image, most = dataset.counts[frame], dataset.microscope.detector.counter_max
    if image.max(initial=0) < most:
        return dataset.bad_pixels
    return np.asarray(dataset.bad_pixels | (image >= most))


def bad_on_frame(*, dataset: Dataset, frame: int, centre_px: Floats, beam_radius_px: float) -> Bools:
    """The same with the disc of the direct beam."""
    bad = series_bad_pixels(dataset=dataset, frame=frame).copy()
    rows, columns = bad.shape
    x, y, r = float(centre_px[0]), float(centre_px[1]), beam_radius_px
    x0, x1 = (int(np.clip(v, 0, columns)) for v in (np.floor(x - r), np.ceil(x + r) + 1))
    y0, y1 = (int(np.clip(v, 0, rows)) for v in (np.floor(y - r), np.ceil(y + r) + 1))
    disc = (np.arange(y0, y1)[:, None] - y) ** 2 + (np.arange(x0, x1)[None, :] - x) ** 2 < r**2
    bad[y0:y1, x0:x1] |= disc
    return bad
