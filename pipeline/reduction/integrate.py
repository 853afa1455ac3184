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

    It reaches far into the tails (sum 1 over ``reach_px``), so that neighbours and backgrounds can be freed of them;
    a spot itself is fitted within ``fit_radius_px`` and summed within ``sum_radius_px``, which holds ``inside`` of it.
    """

    grid: Floats
    reach_px: int
    fit_radius_px: float
    sum_radius_px: float
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


def make_profile(
    *, value: Floats, weight: Floats, fit_share: float = 0.88, sum_share: float = 0.93, largest_px: float = 5.0
) -> SpotProfile:
    """Normalised profile; radii of fit and sum hold the given shares of it, within 1.75 px and ``largest_px``."""
    grid = np.where(weight > 0, value / np.maximum(weight, 1e-12), 0.0)
    offset = (np.arange(len(grid)) - (len(grid) - 1) // 2) / OVERSAMPLING
    radius = np.hypot(offset[:, None], offset[None, :])
    reach = float(offset[-1])
    edge = (radius > reach - 1.0) & (radius <= reach)
    level = float(np.median(grid[edge]))
    shape = np.where(radius <= reach, np.maximum(grid - level, 0.0), 0.0)
    means = np.array([shape[(radius > r - 0.5) & (radius <= r + 0.5)].mean() for r in np.arange(0.5, reach, 0.5)])
    tail = np.interp(radius, np.arange(0.5, reach, 0.5), np.minimum.accumulate(means))
    shape = np.where(radius > 0.6 * reach, tail, shape)  # far out only the radial mean is significant
    shape[radius > reach] = 0.0
    shape = shape / max(float(shape.sum()) / OVERSAMPLING**2, 1e-12)

    def holding(share: float) -> float:
        radii = np.arange(1.75, largest_px + 1e-9, 0.25)
        inside = np.array([shape[radius <= r].sum() for r in radii]) / OVERSAMPLING**2
        return float(radii[int(np.argmax(inside >= share))]) if inside[-1] >= share else largest_px

    sum_radius = holding(sum_share)
    return SpotProfile(
        grid=shape,
        reach_px=int(reach),
        fit_radius_px=holding(fit_share),
        sum_radius_px=sum_radius,
        inside=float(shape[radius <= sum_radius].sum()) / OVERSAMPLING**2,
    )


@njit(cache=True)
def _mark(owner, bad, xs, ys, radius, edge):  # type: ignore[no-untyped-def]
    """Mark the cores of all spots; status 1: too near the edge of the detector, 2: a bad pixel in the core."""
    rows, columns = owner.shape
    reach = int(np.ceil(radius)) + 1
    status = np.zeros(xs.shape[0], dtype=np.int64)
    for n in range(xs.shape[0]):
        x, y = int(np.rint(xs[n])), int(np.rint(ys[n]))
        if x < edge or y < edge or x >= columns - edge or y >= rows - edge:
            status[n] = 1
            continue
        for p in range(y - reach, y + reach + 1):
            for q in range(x - reach, x + reach + 1):
                if p < 0 or q < 0 or p >= rows or q >= columns:
                    continue
                d2 = (p - ys[n]) ** 2 + (q - xs[n]) ** 2
                if d2 <= (radius + 0.5) ** 2:
                    owner[p, q] = 1
                if d2 <= radius * radius and bad[p, q]:
                    status[n] = 2
    return status


@njit(cache=True)
def _ring(net, model, background, bad, owner, x, y, inner, gain):  # type: ignore[no-untyped-def]
    """Clipped mean of what models and smooth background leave in a ring, and its variance."""
    rows, columns = net.shape
    outer = inner + 4.5
    reach = int(np.ceil(outer))
    mean = 0.0
    variance = 0.0
    low = -np.inf
    high = np.inf
    for _ in range(3):
        total = 0.0
        level = 0.0
        number = 0
        for p in range(max(int(y) - reach, 0), min(int(y) + reach + 2, rows)):
            for q in range(max(int(x) - reach, 0), min(int(x) + reach + 2, columns)):
                d2 = (p - y) ** 2 + (q - x) ** 2
                value = net[p, q] - model[p, q]
                if d2 < inner * inner or d2 > outer * outer or owner[p, q] or bad[p, q] or value > high or value < low:
                    continue
                total += value
                level += background[p, q] + max(model[p, q], 0.0)
                number += 1
        if number < 10:
            return mean, variance + gain * background[int(y), int(x)] * 0.2
        mean = total / number
        variance = gain * level / number / number
        spread = 5.0 * np.sqrt(gain * level / number + 0.5)
        high = mean + spread
        low = mean - spread
    return mean, variance


@njit(cache=True)
def _integrate(net, background, bad, xs, ys, grid, reach, fit_radius, sum_radius, inside, gain, passes):  # type: ignore[no-untyped-def]  # noqa: C901
    rows, columns = net.shape
    n_spots = xs.shape[0]
    core = int(np.ceil(max(fit_radius, sum_radius))) + 1
    owner = np.zeros((rows, columns), dtype=np.uint8)
    status = _mark(owner, bad, xs, ys, max(fit_radius, sum_radius), core + 2)
    model = np.zeros((rows, columns))
    drawn = np.zeros(n_spots)
    fitted = np.zeros(n_spots)
    summed = np.zeros(n_spots)
    shift = np.zeros(n_spots)
    variance_fit = np.ones(n_spots)
    variance_sum = np.ones(n_spots)
    for _ in range(passes):
        for n in range(n_spots):
            if status[n] == 1:
                continue
            x, y = int(np.rint(xs[n])), int(np.rint(ys[n]))
            level, level_variance = _ring(net, model, background, bad, owner, xs[n], ys[n], fit_radius + 0.5, gain)
            shift[n] = level
            top = 0.0
            below = 0.0
            weight_sum = 0.0
            total = 0.0
            under = 0.0
            pixels = 0.0
            for p in range(y - core, y + core + 1):
                for q in range(x - core, x + core + 1):
                    if bad[p, q]:
                        continue
                    own = _lookup(grid, q - xs[n], p - ys[n])
                    other = model[p, q] - drawn[n] * own
                    value = net[p, q] - level - other
                    d2 = (p - ys[n]) ** 2 + (q - xs[n]) ** 2
                    if d2 <= fit_radius * fit_radius:
                        variance = gain * max(background[p, q] + max(model[p, q], 0.0), 0.05)
                        top += own * value / variance
                        below += own * own / variance
                        weight_sum += own / variance
                    if d2 <= sum_radius * sum_radius:
                        total += value
                        under += background[p, q] + max(other, 0.0)
                        pixels += 1.0
            if below <= 0.0:
                status[n] = 2
                continue
            fitted[n] = top / below
            variance_fit[n] = 1.0 / below + level_variance * (weight_sum / below) ** 2
            summed[n] = total / inside
            variance_sum[n] = (gain * (max(total, 0.0) + under) + pixels * pixels * level_variance) / inside**2
            now = fitted[n] if fitted[n] > 2.0 * np.sqrt(variance_fit[n]) else 0.0
            if now != drawn[n]:
                for p in range(max(y - reach, 0), min(y + reach + 1, rows)):
                    for q in range(max(x - reach, 0), min(x + reach + 1, columns)):
                        model[p, q] += (now - drawn[n]) * _lookup(grid, q - xs[n], p - ys[n])
                drawn[n] = now
    return fitted, variance_fit, summed, variance_sum, status, shift, model, drawn


@njit(cache=True)
def _free_of_others(net, model, grid, xs, ys, drawn, shift, which, reach):  # type: ignore[no-untyped-def]
    """Cut-outs (m, 2 reach + 3, 2 reach + 3) of chosen spots with their neighbours and background taken away."""
    size = 2 * reach + 3
    out = np.full((which.shape[0], size, size), np.nan)
    for m in range(which.shape[0]):
        n = which[m]
        x, y = int(np.rint(xs[n])), int(np.rint(ys[n]))
        for i in range(size):
            for j in range(size):
                p = y - reach - 1 + i
                q = x - reach - 1 + j
                if 0 <= p < net.shape[0] and 0 <= q < net.shape[1]:
                    out[m, i, j] = net[p, q] - shift[n] - model[p, q] + drawn[n] * _lookup(grid, q - xs[n], p - ys[n])
    return out


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class FrameIntensities:
    """Per spot: intensity, sigma in counts, whether it can be used (on the detector, no bad pixel), and both
    estimates."""

    intensity: Floats
    sigma: Floats
    usable: Bools
    fitted: Floats
    summed: Floats
    learned: tuple[Floats, Floats]  # numerator and weight of the profile of the strongest spots


def integrate_frame(
    *,
    net: NDArray[np.float32],
    background: NDArray[np.float32],
    bad: Bools,
    fast_px: Floats,
    slow_px: Floats,
    profile: SpotProfile,
    gain: float,
    sum_above: float = 25.0,
    relative_error: float = 0.012,
    learn_above: float = 40.0,
) -> FrameIntensities:
    """Profile-fitted intensities, replaced by sums where the signal exceeds ``sum_above`` sigma."""
    fitted, v_fit, summed, v_sum, status, shift, model, drawn = _integrate(
        net,
        background,
        bad,
        fast_px,
        slow_px,
        profile.grid,
        profile.reach_px,
        profile.fit_radius_px,
        profile.sum_radius_px,
        profile.inside,
        gain,
        4,
    )
    strong = summed > sum_above * np.sqrt(v_sum)
    intensity = np.where(strong, summed, fitted)
    sigma = np.sqrt(np.where(strong, v_sum, v_fit) + (relative_error * np.maximum(intensity, 0.0)) ** 2)
    size = len(profile.grid)
    value, weight = np.zeros((size, size)), np.zeros((size, size))
    chosen = np.flatnonzero((status == 0) & (summed > learn_above * np.sqrt(v_sum)))
    if len(chosen):
        cuts = _free_of_others(net, model, profile.grid, fast_px, slow_px, drawn, shift, chosen, profile.reach_px)
        for cut, n in zip(cuts, chosen, strict=True):
            x0, y0 = np.rint(fast_px[n]) - profile.reach_px - 1, np.rint(slow_px[n]) - profile.reach_px - 1
            v, w = _learn(
                cut,
                np.isnan(cut),
                np.array([fast_px[n] - x0]),
                np.array([slow_px[n] - y0]),
                np.array([summed[n]]),
                size,
            )
            value += v
            weight += w
    return FrameIntensities(
        intensity=intensity, sigma=sigma, usable=status == 0, fitted=fitted, summed=summed, learned=(value, weight)
    )
