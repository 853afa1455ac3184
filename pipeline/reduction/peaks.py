"""Peak search: local maxima of a matched filter above the noise, with centroids and sums above background.

Counts are few and their distribution is skew: a maximum is judged by the signed root of the deviance of a Poisson
count, z = sqrt(2 (x ln(x/m) - (x - m))), which is normal down to a few counts where (x - m)/sqrt(m) is not: with a
mean of 12 counts under the filter (x - m)/sqrt(m) = 5 is z = 4.1. A filtered sum of counts is taken for the Poisson
count that has its variance and its skewness.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numba import njit
from numpy.typing import NDArray

from pipeline.reduction.workspace import Workspace, workspace
from pipeline.types import Peaks

Floats = NDArray[np.float64]


@njit(cache=True)
def _smooth(image, kernel, temporary, out):  # type: ignore[no-untyped-def]
    """Separable filter of ``image``, written to ``out``; rows and columns nearer than half the kernel to an edge are 0.

    Inner loops run along rows of their own, so that the compiler can make vectors of them.
    """
    rows, columns = image.shape
    half = kernel.shape[0] // 2
    inside = columns - 2 * half
    for i in range(rows):
        temporary[i] = 0.0
        target = temporary[i, half : columns - half]
        for k in range(kernel.shape[0]):
            weight = kernel[k]
            source = image[i, k : k + inside]
            for j in range(inside):
                target[j] += weight * source[j]
    for i in range(rows):
        target = out[i]
        target[:] = 0.0
        if i < half or i >= rows - half:
            continue
        for k in range(kernel.shape[0]):
            weight = kernel[k]
            source = temporary[i + k - half]
            for j in range(columns):
                target[j] += weight * source[j]


@njit(cache=True)
def _above(image, background, bad, net):  # type: ignore[no-untyped-def]
    """Counts above the background, 0 where they are not to be believed, written to ``net`` (slow, fast)."""
    for i in range(image.shape[0]):
        values, level, mask, row = image[i], background[i], bad[i], net[i]
        for j in range(image.shape[1]):
            row[j] = np.float32(0.0) if mask[j] else np.float32(values[j]) - level[j]


@njit(cache=True)
def _local_level(net, bad, x, y, radius):  # type: ignore[no-untyped-def]
    """What the smooth background misses around (x, y): median over eight sectors of a ring of their means."""
    totals = np.zeros(8)
    numbers = np.zeros(8)
    inner = radius + 1.0
    outer = radius + 4.0
    reach = int(outer) + 1
    for p in range(max(int(y) - reach, 0), min(int(y) + reach + 2, net.shape[0])):
        for q in range(max(int(x) - reach, 0), min(int(x) + reach + 2, net.shape[1])):
            d2 = (p - y) ** 2 + (q - x) ** 2
            if d2 < inner * inner or d2 > outer * outer or bad[p, q]:
                continue
            k = int((np.arctan2(p - y, q - x) + np.pi) * (4.0 / np.pi)) % 8
            totals[k] += net[p, q]
            numbers[k] += 1.0
    known = numbers > 2.0
    if np.sum(known) < 4:
        return 0.0
    return np.median(totals[known] / numbers[known])


@njit(cache=True)
def deviance_z(x, m):  # type: ignore[no-untyped-def]
    """Normal equivalent of x counts where m are expected, both > 0."""
    if x <= m:
        return 0.0
    return np.sqrt(2.0 * (x * np.log(x / m) - (x - m)))


@njit(cache=True)
def _may_be_spots(score, background, bad, least, out):  # type: ignore[no-untyped-def]
    """Mark the pixels of a row where the square of the score is ``least`` times the background; how many there are."""
    number = 0
    for j in range(score.shape[0]):
        v = score[j]
        high = v * v >= least * max(background[j], np.float32(1e-3))
        out[j] = high and v > np.float32(0.0) and not bad[j]
        number += out[j]
    return number


@njit(cache=True)
def _is_top(score, i, j):  # type: ignore[no-untyped-def]
    """Whether (i, j) is the highest of the 25 pixels around it; of equal ones the first."""
    v = score[i, j]
    for u in range(-2, 3):
        for w in range(-2, 3):
            if score[i + u, j + w] > v or (score[i + u, j + w] == v and (u < 0 or (u == 0 and w < 0))):
                return False
    return True


@njit(cache=True)
def _centroid(net, background, bad, i, j, radius, level):  # type: ignore[no-untyped-def]
    """Position (x, y), counts above ``level`` and counts below them of the spot at pixel (i, j); 0 counts where the
    centroid wanders off."""
    rows, columns = net.shape
    x, y = float(j), float(i)
    total = 0.0
    below = 0.0
    for _ in range(3):
        total = 0.0
        below = 0.0
        sx = 0.0
        sy = 0.0
        for p in range(max(int(y) - radius - 1, 0), min(int(y) + radius + 3, rows)):
            for q in range(max(int(x) - radius - 1, 0), min(int(x) + radius + 3, columns)):
                d2 = (p - y) ** 2 + (q - x) ** 2
                if d2 > radius * radius or bad[p, q]:
                    continue
                value = net[p, q] - level
                total += value
                below += background[p, q] + level
                sx += value * (q - x)
                sy += value * (p - y)
        if total <= 0.0:
            return x, y, 0.0, below
        x += min(max(sx / total, -1.0), 1.0)
        y += min(max(sy / total, -1.0), 1.0)
        if abs(x - j) > 2.5 or abs(y - i) > 2.5:
            return x, y, 0.0, below
    return x, y, total, below


@njit(cache=True)
def _search(image, background, bad, kernel, gain, threshold, radius, minimum_counts, net, temporary, score):  # type: ignore[no-untyped-def]
    rows, columns = image.shape
    _above(image, background, bad, net)
    _smooth(net, kernel, temporary, score)
    squares = np.sum(kernel**2) ** 2
    cubes = np.sum(kernel**3) ** 2
    like_mean = squares**3 / cubes**2 / gain  # the Poisson count of the same variance and skewness as the filtered one
    like_rise = squares / cubes / gain
    least = np.float32(threshold * threshold * gain * squares)  # the deviance is smaller than the square
    border = radius + 2
    found = np.empty((8000, 5))
    marked = np.empty(columns, dtype=np.uint8)
    n = 0
    for i in range(border, rows - border):
        if _may_be_spots(score[i], background[i], bad[i], least, marked) == 0:
            continue
        for j in range(border, columns - border):
            if marked[j] == 0 or n >= found.shape[0]:
                continue
            v = score[i, j]
            mean = max(background[i, j], 1e-3) * like_mean
            if deviance_z(mean + v * like_rise, mean) < threshold or not _is_top(score, i, j):
                continue
            level = max(_local_level(net, bad, float(j), float(i), radius), 0.0)
            mean += level * like_mean
            z = deviance_z(mean + (v - level) * like_rise, mean)
            if z < threshold:
                continue
            x, y, total, below = _centroid(net, background, bad, i, j, radius, level)
            if total < minimum_counts:
                continue
            sigma = np.sqrt(gain * (total + below))
            if total < threshold * 0.3 * sigma:
                continue
            found[n] = (x, y, total, sigma, z)
            n += 1
    return found[:n]


def gaussian_kernel(sigma_px: float) -> NDArray[np.float32]:
    """Normalised one-dimensional Gaussian, reaching to 2.5 sigma."""
    half = max(int(np.ceil(2.5 * sigma_px)), 1)
    k = np.exp(-0.5 * (np.arange(-half, half + 1) / sigma_px) ** 2)
    return np.asarray(k / k.sum(), dtype=np.float32)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Found:
    """Spots and the significance ``z`` (n,) of each in standard deviations."""

    peaks: Peaks
    z: Floats


def find_peaks(
    *,
    image: NDArray[np.generic],
    background: NDArray[np.float32],
    bad_pixels: NDArray[np.bool_],
    frame: int,
    gain: float,
    threshold: float = 5.0,
    spot_sigma_px: float = 1.0,
    radius_px: int = 3,
    work: Workspace | None = None,
) -> Found:
    """Spots of one frame above ``threshold`` standard deviations of the matched filter."""
    space = work or workspace(image.shape)
    found = _search(
        image,
        background,
        bad_pixels,
        gaussian_kernel(spot_sigma_px),
        gain,
        threshold,
        radius_px,
        3.0 * gain,
        space.net,
        space.first,
        space.second,
    )
    peaks = Peaks(
        frame=np.full(len(found), frame, dtype=np.int64),
        fast_px=found[:, 0].copy(),
        slow_px=found[:, 1].copy(),
        intensity=found[:, 2].copy(),
        sigma=found[:, 3].copy(),
    )
    return Found(peaks=peaks, z=found[:, 4].copy())


def expected_false(*, z: float, pixels: float, spot_sigma_px: float = 1.0) -> float:
    """Maxima above ``z`` that noise alone makes in ``pixels`` pixels of a filtered image.

    Density of maxima of a smooth normal field (Adler, The Geometry of Random Fields, 1981):
    z exp(-z²/2) |ρ''| / (2π)^1.5 with ρ'' = -1 / (2 σ²) for white noise under a filter of width σ. The nearest pixel
    lies below a maximum by |ρ''| z / 12 on average.
    """
    z *= 1.0 + 1.0 / (24.0 * spot_sigma_px**2)
    return float(pixels * z * np.exp(-0.5 * z * z) / ((2.0 * np.pi) ** 1.5 * 2.0 * spot_sigma_px**2))


def purest_threshold(
    *, z: Floats, pixels: float, lowest: float = 5.0, highest: float = 6.5, false_share: float = 0.05
) -> float:
    """Lowest threshold at which noise makes no more than ``false_share`` of the spots found."""
    for step in np.arange(lowest, highest + 1e-9, 0.1):
        if expected_false(z=float(step), pixels=pixels) <= false_share * np.count_nonzero(z >= step):
            return float(step)
    return highest


def join_found(lists: list[Found]) -> Found:
    """Spots of several frames one after the other."""
    if not lists:
        return Found(peaks=join_peaks([]), z=np.zeros(0))
    return Found(peaks=join_peaks([f.peaks for f in lists]), z=np.concatenate([f.z for f in lists]))


def join_peaks(lists: list[Peaks]) -> Peaks:
    """Peaks of several frames one after the other."""
    if not lists:
        none = np.zeros(0)
        return Peaks(frame=np.zeros(0, dtype=np.int64), fast_px=none, slow_px=none, intensity=none, sigma=none)
    return Peaks(
        frame=np.concatenate([p.frame for p in lists]),
        fast_px=np.concatenate([p.fast_px for p in lists]),
        slow_px=np.concatenate([p.slow_px for p in lists]),
        intensity=np.concatenate([p.intensity for p in lists]),
        sigma=np.concatenate([p.sigma for p in lists]),
    )


def select_peaks(peaks: Peaks, keep: NDArray[np.generic]) -> Peaks:
    """Subset of a peak list by mask or index."""
    return Peaks(
        frame=peaks.frame[keep],
        fast_px=peaks.fast_px[keep],
        slow_px=peaks.slow_px[keep],
        intensity=peaks.intensity[keep],
        sigma=peaks.sigma[keep],
    )
