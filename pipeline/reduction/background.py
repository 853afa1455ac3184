"""What lies under the spots: a clipped radial mean and what coarse boxes leave of it; the mask of the direct beam.

Means, not medians: hybrid detectors count, and the median of a pixel that mostly reads 0 says nothing.
A background is kept as its few hundred numbers (:class:`Background`) and spread over the frame when it is needed.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numba import njit
from numpy.typing import NDArray

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


@njit(cache=True)
def _squares(columns, cx):  # type: ignore[no-untyped-def]
    return ((np.arange(columns) - cx) ** 2).astype(np.float32)


@njit(cache=True)
def _radial_clipped(image, bad, cx, cy, bins, passes, clip):  # type: ignore[no-untyped-def]
    """Mean (bins,) and number of pixels (bins,) in rings; pixels above the mean by ``clip`` times its spread go."""
    rows, columns = image.shape
    ring = np.empty((rows, columns), dtype=np.int32)
    x2 = _squares(columns, cx)
    for i in range(rows):
        y2 = np.float32((i - cy) ** 2)
        line, mask = ring[i], bad[i]
        for j in range(columns):
            line[j] = -1 if mask[j] else np.int32(np.sqrt(y2 + x2[j]))
    mean = np.zeros(bins)
    limit = np.full(bins, np.inf)
    number = np.zeros(bins)
    for turn in range(passes):
        last = turn == passes - 1
        total = np.zeros(bins)
        squares = np.zeros(bins)
        number[:] = 0.0
        for i in range(rows):
            if not last and i % 4 > 0 and abs(i - cy) > 24.0:
                continue  # a quarter of the pixels finds the limits, all of them the means
            line, values = ring[i], image[i]
            for j in range(columns):
                r = line[j]
                v = float(values[j])
                if r < 0 or r >= bins or v > limit[r]:
                    continue
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
    *, image: NDArray[np.generic], bad_pixels: Bools, centre_px: tuple[float, float], clip: float = CLIP
) -> Floats:
    """Clipped mean against the radius in whole px, (bins,), smoothed where rings hold few pixels."""
    rows, columns = image.shape
    corner = np.hypot(max(centre_px[0], columns - centre_px[0]), max(centre_px[1], rows - centre_px[1]))
    bins = int(corner) + 2
    mean, number = _radial_clipped(image, bad_pixels, centre_px[0], centre_px[1], bins, 5, clip)
    known = number > 0
    if not np.any(known):
        return np.zeros(bins)
    filled = np.interp(np.arange(bins), np.flatnonzero(known), mean[known])
    kernel = np.array([0.25, 0.5, 0.25])
    smooth = np.convolve(np.pad(filled, 1, mode="edge"), kernel, mode="valid")
    smooth[:8] = filled[:8]
    return np.asarray(smooth)


@njit(cache=True)
def _boxes(image, profile, bad, cx, cy, sigma_limit, step):  # type: ignore[no-untyped-def]
    """Mean of what the radial profile leaves, in boxes joined three by three; 0 where fewer than 20 pixels are good."""
    rows, columns = image.shape
    ny = rows // step + 2
    nx = columns // step + 2
    total = np.zeros((ny, nx))
    number = np.zeros((ny, nx))
    last = profile.shape[0] - 2
    limit2 = sigma_limit * sigma_limit
    x2 = _squares(columns, cx)
    for i in range(rows):
        y2 = np.float32((i - cy) ** 2)
        u = i // step + 1
        line, mask = image[i], bad[i]
        for v in range(1, nx):
            first = (v - 1) * step
            t_box = 0.0
            n_box = 0.0
            for j in range(first, min(first + step, columns)):
                r = np.sqrt(y2 + x2[j])
                k = min(int(r), last)
                t = min(r - k, 1.0)
                b = profile[k] * (1.0 - t) + profile[k + 1] * t
                d = line[j] - b
                good = 0.0 if mask[j] or d * abs(d) > limit2 * (b + 0.3) else 1.0
                t_box += good * d
                n_box += good
            total[u, v] += t_box
            number[u, v] += n_box
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
    return grid


@njit(cache=True)
def _spread(profile, rise, boxes, rows, columns, cx, cy, step, least):  # type: ignore[no-untyped-def]
    """Profile and boxes interpolated, in 32 bit; rise: profile[k + 1] − profile[k]."""
    out = np.empty((rows, columns), dtype=np.float32)
    ny, nx = boxes.shape
    last = np.int32(profile.shape[0] - 2)
    lowest = np.float32(least)
    line = np.empty(nx, dtype=np.float32)
    extra = np.empty(columns, dtype=np.float32)
    at = np.empty(columns, dtype=np.int64)
    part = np.empty(columns, dtype=np.float32)
    for j in range(columns):
        x = (j + 0.5) / step + 0.5
        at[j] = min(max(int(x), 0), nx - 2)
        part[j] = x - at[j]
    x2 = _squares(columns, cx)
    for i in range(rows):
        y = (i + 0.5) / step + 0.5
        u = min(max(int(y), 0), ny - 2)
        ty = y - u
        for v in range(nx):
            line[v] = boxes[u, v] * (1.0 - ty) + boxes[u + 1, v] * ty
        for j in range(columns):
            v = at[j]
            extra[j] = line[v] + (line[v + 1] - line[v]) * part[j]
        y2 = np.float32((i - cy) ** 2)
        row = out[i]
        for j in range(columns):
            r = np.sqrt(y2 + x2[j])
            k = min(np.int32(r), last)
            row[j] = max(profile[k] + rise[k] * min(r - np.float32(k), np.float32(1.0)) + extra[j], lowest)
    return out


def fit_background(*, image: NDArray[np.generic], bad_pixels: Bools, centre_px: tuple[float, float]) -> Background:
    """Background of one frame (slow, fast) of counts."""
    profile = radial_background(image=image, bad_pixels=bad_pixels, centre_px=centre_px)
    boxes = _boxes(image, profile, bad_pixels, centre_px[0], centre_px[1], 3.5, BOX_PX)
    return Background(profile=profile, boxes=boxes, centre_px=centre_px)


def spread_background(background: Background, shape: tuple[int, int]) -> NDArray[np.float32]:
    """The background of each pixel in counts, (slow, fast), never below LEAST_COUNTS."""
    cx, cy = background.centre_px
    profile = background.profile
    rise = np.diff(profile, append=profile[-1]).astype(np.float32)
    radial = profile.astype(np.float32)
    return np.asarray(_spread(radial, rise, background.boxes, shape[0], shape[1], cx, cy, BOX_PX, LEAST_COUNTS))


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


def bad_on_frame(*, dataset: Dataset, frame: int, centre_px: Floats, beam_radius_px: float) -> Bools:
    """Bad pixels, pixels at the end of their counter, and the disc of the direct beam; (slow, fast)."""
    bad = dataset.bad_pixels | (dataset.counts[frame] >= dataset.microscope.detector.counter_max)
    rows, columns = bad.shape
    x, y, r = float(centre_px[0]), float(centre_px[1]), beam_radius_px
    x0, x1 = (int(np.clip(v, 0, columns)) for v in (np.floor(x - r), np.ceil(x + r) + 1))
    y0, y1 = (int(np.clip(v, 0, rows)) for v in (np.floor(y - r), np.ceil(y + r) + 1))
    disc = (np.arange(y0, y1)[:, None] - y) ** 2 + (np.arange(x0, x1)[None, :] - x) ** 2 < r**2
    bad[y0:y1, x0:x1] |= disc
    return np.asarray(bad)
