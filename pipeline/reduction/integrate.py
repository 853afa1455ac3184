"""Intensities at predicted positions: a profile fit with a learned spot shape, a sum for strong spots.

Background: the frame's smooth model plus the mean of what remains in a ring free of other spots. Overlapping neighbours
are fitted together (Gauss–Seidel on the models). Variances follow the noise model: gain × counts.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numba import njit
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

OVERSAMPLING = 4


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class SpotProfile:
    """Share of a spot in a pixel at offset (dx, dy): ``grid`` (m, m), OVERSAMPLING points a px, middle at (m − 1)/2.

    ``radius_px`` is the aperture, ``inside`` the share of a spot in it (the profile sums to 1 there).
    """

    grid: Floats
    radius_px: float
    inside: float


@njit(cache=True)
def _lookup(grid, dx, dy):  # type: ignore[no-untyped-def]
    middle = (grid.shape[0] - 1) // 2
    x = dx * OVERSAMPLING + middle
    y = dy * OVERSAMPLING + middle
    i = int(np.floor(y))
    j = int(np.floor(x))
    if i < 0 or j < 0 or i + 1 >= grid.shape[0] or j + 1 >= grid.shape[0]:
        return 0.0
    ty = y - i
    tx = x - j
    top = grid[i, j] * (1 - tx) + grid[i, j + 1] * tx
    low = grid[i + 1, j] * (1 - tx) + grid[i + 1, j + 1] * tx
    return top * (1 - ty) + low * ty


@njit(cache=True)
def _learn(net, bad, xs, ys, totals, size):  # type: ignore[no-untyped-def]
    middle = (size - 1) // 2
    value = np.zeros((size, size))
    weight = np.zeros((size, size))
    reach = middle // OVERSAMPLING + 1
    for n in range(xs.shape[0]):
        for p in range(int(ys[n]) - reach, int(ys[n]) + reach + 2):
            for q in range(int(xs[n]) - reach, int(xs[n]) + reach + 2):
                if p < 0 or q < 0 or p >= net.shape[0] or q >= net.shape[1] or bad[p, q]:
                    continue
                y = (p - ys[n]) * OVERSAMPLING + middle
                x = (q - xs[n]) * OVERSAMPLING + middle
                i = int(np.floor(y))
                j = int(np.floor(x))
                ty = y - i
                tx = x - j
                for u in range(2):
                    for v in range(2):
                        if 0 <= i + u < size and 0 <= j + v < size:
                            w = (ty if u else 1 - ty) * (tx if v else 1 - tx) * totals[n]
                            value[i + u, j + v] += w * net[p, q] / totals[n]
                            weight[i + u, j + v] += w
    return value, weight


def profile_sums(
    *, net: NDArray[np.float32], bad: Bools, fast_px: Floats, slow_px: Floats, total: Floats, reach_px: int
) -> tuple[Floats, Floats]:
    """Numerator and weight of the mean profile of one frame's strong spots; add them up over frames."""
    return _learn(net, bad, fast_px, slow_px, total, 2 * reach_px * OVERSAMPLING + 1)  # type: ignore[no-any-return]


def make_profile(*, value: Floats, weight: Floats, enclosed: float = 0.985, largest_px: float = 6.0) -> SpotProfile:
    """Normalised profile; the aperture holds ``enclosed`` of it."""
    grid = np.where(weight > 0, value / np.maximum(weight, 1e-12), 0.0)
    size = len(grid)
    offset = (np.arange(size) - (size - 1) // 2) / OVERSAMPLING
    radius = np.hypot(offset[:, None], offset[None, :])
    ring = radius > offset[-1] - 0.75
    grid = grid - max(float(np.mean(grid[ring & (radius <= offset[-1])])), 0.0)
    radii = np.arange(1.5, min(largest_px, float(offset[-1]) - 0.5) + 1e-9, 0.25)
    sums = np.array([grid[radius <= r].sum() for r in radii])
    share = sums / max(float(sums.max()), 1e-12)
    radius_px = float(radii[int(np.argmax(share >= enclosed))])
    inside = grid[radius <= radius_px].sum() / OVERSAMPLING**2
    grid = np.maximum(np.where(radius <= radius_px + 0.75, grid, 0.0), 0.0) / max(float(inside), 1e-12)
    return SpotProfile(grid=grid, radius_px=radius_px, inside=float(enclosed))


@njit(cache=True)
def _integrate(net, background, bad, xs, ys, grid, radius, gain, passes):  # type: ignore[no-untyped-def]
    rows, columns = net.shape
    n_spots = xs.shape[0]
    reach = int(np.ceil(radius)) + 1
    owner = np.zeros((rows, columns), dtype=np.uint8)
    status = np.zeros(n_spots, dtype=np.int64)
    for n in range(n_spots):
        x, y = int(np.rint(xs[n])), int(np.rint(ys[n]))
        if x < reach + 2 or y < reach + 2 or x >= columns - reach - 2 or y >= rows - reach - 2:
            status[n] = 1
            continue
        for p in range(y - reach, y + reach + 1):
            for q in range(x - reach, x + reach + 1):
                d2 = (p - ys[n]) ** 2 + (q - xs[n]) ** 2
                if d2 <= (radius + 1.0) ** 2:
                    owner[p, q] = 1
                if d2 <= radius * radius and bad[p, q]:
                    status[n] = 2
    shift = np.zeros(n_spots)
    shift_variance = np.zeros(n_spots)
    ring = reach + 5
    for n in range(n_spots):
        if status[n] != 0:
            continue
        limit = np.inf
        for _ in range(3):
            total = 0.0
            level = 0.0
            number = 0
            for p in range(max(int(ys[n]) - ring, 0), min(int(ys[n]) + ring + 1, rows)):
                for q in range(max(int(xs[n]) - ring, 0), min(int(xs[n]) + ring + 1, columns)):
                    if owner[p, q] or bad[p, q] or net[p, q] > limit:
                        continue
                    total += net[p, q]
                    level += background[p, q]
                    number += 1
            if number < 12:
                break
            shift[n] = total / number
            shift_variance[n] = gain * level / number / number
            limit = shift[n] + 4.0 * np.sqrt(gain * (level / number) + 0.3)
    model = np.zeros((rows, columns))
    fitted = np.zeros(n_spots)
    summed = np.zeros(n_spots)
    variance_fit = np.ones(n_spots)
    variance_sum = np.ones(n_spots)
    for step in range(passes):
        for n in range(n_spots):
            if status[n] != 0:
                continue
            x, y = int(np.rint(xs[n])), int(np.rint(ys[n]))
            top = 0.0
            below = 0.0
            weight_sum = 0.0
            total = 0.0
            level = 0.0
            others = 0.0
            pixels = 0.0
            for p in range(y - reach, y + reach + 1):
                for q in range(x - reach, x + reach + 1):
                    own = _lookup(grid, q - xs[n], p - ys[n])
                    other = model[p, q] - fitted[n] * own
                    value = net[p, q] - shift[n] - other
                    if own > 0.0:
                        variance = gain * max(background[p, q] + max(model[p, q], 0.0), 0.05)
                        top += own * value / variance
                        below += own * own / variance
                        weight_sum += own / variance
                    if (p - ys[n]) ** 2 + (q - xs[n]) ** 2 <= radius * radius:
                        total += value
                        level += background[p, q] + max(other, 0.0)
                        others += max(other, 0.0)
                        pixels += 1.0
            before = fitted[n]
            fitted[n] = top / below
            variance_fit[n] = 1.0 / below + shift_variance[n] * (weight_sum / below) ** 2
            summed[n] = total
            variance_sum[n] = gain * (max(total, 0.0) + level) + pixels * pixels * shift_variance[n] + 0.01 * others * others
            for p in range(y - reach, y + reach + 1):
                for q in range(x - reach, x + reach + 1):
                    model[p, q] += (fitted[n] - before) * _lookup(grid, q - xs[n], p - ys[n])
    return fitted, variance_fit, summed, variance_sum, status


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class FrameIntensities:
    """Per spot: intensity, sigma in counts, whether it can be used (on the detector, no bad pixel), and both estimates."""

    intensity: Floats
    sigma: Floats
    usable: Bools
    fitted: Floats
    summed: Floats


def integrate_frame(
    *, net: NDArray[np.float32], background: NDArray[np.float32], bad: Bools, fast_px: Floats, slow_px: Floats,
    profile: SpotProfile, gain: float, sum_above: float = 25.0, profile_error: float = 0.01,
) -> FrameIntensities:
    """Profile-fitted intensities, replaced by sums where the signal exceeds ``sum_above`` sigma."""
    fitted, v_fit, summed, v_sum, status = _integrate(
        net, background, bad, fast_px, slow_px, profile.grid, profile.radius_px, gain, 4
    )
    strong = summed > sum_above * np.sqrt(v_sum)
    intensity = np.where(strong, summed, fitted)
    sigma = np.sqrt(np.where(strong, v_sum, v_fit + (profile_error * np.maximum(fitted, 0.0)) ** 2))
    return FrameIntensities(intensity=intensity, sigma=sigma, usable=status == 0, fitted=fitted, summed=summed)
