"""Peak search: local maxima of a matched filter above the noise, with centroids and sums above background."""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

from pipeline.types import Peaks

Floats = NDArray[np.float64]


@njit(cache=True)
def _smooth(image, kernel):  # type: ignore[no-untyped-def]
    rows, columns = image.shape
    half = kernel.shape[0] // 2
    temporary = np.zeros_like(image)
    out = np.zeros_like(image)
    for i in range(rows):
        for j in range(half, columns - half):
            t = 0.0
            for k in range(-half, half + 1):
                t += image[i, j + k] * kernel[k + half]
            temporary[i, j] = t
    for i in range(half, rows - half):
        for j in range(half, columns - half):
            t = 0.0
            for k in range(-half, half + 1):
                t += temporary[i + k, j] * kernel[k + half]
            out[i, j] = t
    return out


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
def _search(image, background, bad, kernel, gain, threshold, radius, minimum_counts):  # type: ignore[no-untyped-def]  # noqa: C901
    rows, columns = image.shape
    net = np.zeros((rows, columns), dtype=np.float32)
    for i in range(rows):
        for j in range(columns):
            if not bad[i, j]:
                net[i, j] = image[i, j] - background[i, j]
    score = _smooth(net, kernel)
    noise = 0.0
    for k in range(kernel.shape[0]):
        noise += kernel[k] ** 2
    border = radius + 2
    found = np.empty((4000, 4))
    n = 0
    for i in range(border, rows - border):
        for j in range(border, columns - border):
            v = score[i, j]
            if bad[i, j] or v <= 0.0:
                continue
            variance = gain * noise * noise * background[i, j]
            if v * v < threshold * threshold * variance:
                continue
            top = True
            for u in range(-2, 3):
                for w in range(-2, 3):
                    if score[i + u, j + w] > v or (score[i + u, j + w] == v and (u < 0 or (u == 0 and w < 0))):
                        top = False
            if not top or n >= found.shape[0]:
                continue
            x, y = float(j), float(i)
            total = 0.0
            below = 0.0
            level = max(_local_level(net, bad, x, y, radius), 0.0)
            if level > 0.0:
                variance = gain * noise * noise * (background[i, j] + level)
                if v <= level or (v - level) ** 2 < threshold * threshold * variance:
                    continue
            for _ in range(3):
                total = 0.0
                below = 0.0
                sx = 0.0
                sy = 0.0
                for p in range(int(y) - radius - 1, int(y) + radius + 3):
                    for q in range(int(x) - radius - 1, int(x) + radius + 3):
                        if p < 0 or q < 0 or p >= rows or q >= columns:
                            continue
                        d2 = (p - y) ** 2 + (q - x) ** 2
                        if d2 > radius * radius or bad[p, q]:
                            continue
                        value = net[p, q] - level
                        total += value
                        below += background[p, q] + level
                        sx += value * (q - x)
                        sy += value * (p - y)
                if total <= 0.0:
                    break
                x += min(max(sx / total, -1.0), 1.0)
                y += min(max(sy / total, -1.0), 1.0)
                if abs(x - j) > 2.5 or abs(y - i) > 2.5:
                    break
            if total < minimum_counts or abs(x - j) > 2.5 or abs(y - i) > 2.5:
                continue
            sigma = np.sqrt(gain * (max(total, 0.0) + below))
            if total < threshold * 0.6 * sigma:
                continue
            found[n, 0] = x
            found[n, 1] = y
            found[n, 2] = total
            found[n, 3] = sigma
            n += 1
    return found[:n]


def gaussian_kernel(sigma_px: float) -> NDArray[np.float32]:
    """Normalised one-dimensional Gaussian, reaching to 2.5 sigma."""
    half = max(int(np.ceil(2.5 * sigma_px)), 1)
    k = np.exp(-0.5 * (np.arange(-half, half + 1) / sigma_px) ** 2)
    return np.asarray(k / k.sum(), dtype=np.float32)


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
) -> Peaks:
    """Spots of one frame above ``threshold`` times the noise of the matched filter."""
    found = _search(
        np.ascontiguousarray(image, dtype=np.float32),
        background,
        bad_pixels,
        gaussian_kernel(spot_sigma_px),
        gain,
        threshold,
        radius_px,
        3.0 * gain,
    )
    return Peaks(
        frame=np.full(len(found), frame, dtype=np.int64),
        fast_px=found[:, 0].copy(),
        slow_px=found[:, 1].copy(),
        intensity=found[:, 2].copy(),
        sigma=found[:, 3].copy(),
    )


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
