"""The shape of a spot, learned from strong ones on a grid finer than a pixel."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numba import njit
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

OVERSAMPLING = 4
VARIES = 0.02  # share by which the profiles of spots differ: beyond 1 / VARIES² counts a spot has no more to say


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
def lookup(grid, dx, dy):  # type: ignore[no-untyped-def]
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
def spread(value: Floats, weight: Floats, y: float, x: float, amount: float, mass: float) -> None:
    """Share an amount and its mass among the four nodes around (y, x), bilinearly; what falls outside is dropped."""
    i, j = int(np.floor(y)), int(np.floor(x))
    ty, tx = y - i, x - j
    for u in range(2):
        for v in range(2):
            if 0 <= i + u < value.shape[0] and 0 <= j + v < value.shape[1]:
                w = (ty if u else 1 - ty) * (tx if v else 1 - tx)
                value[i + u, j + v] += w * amount
                weight[i + u, j + v] += w * mass


@njit(cache=True)
def say(total):  # type: ignore[no-untyped-def]
    """Weight of a spot of ``total`` counts in the mean profile: without a limit a few would decide it alone."""
    return total / (1.0 + VARIES * VARIES * total)


@njit(cache=True)
def learn(net, bad, xs, ys, totals, size):  # type: ignore[no-untyped-def]
    middle = (size - 1) // 2
    value = np.zeros((size, size))
    weight = np.zeros((size, size))
    reach = middle // OVERSAMPLING + 1
    for n in range(xs.shape[0]):
        mass = say(totals[n])
        for p in range(int(ys[n]) - reach, int(ys[n]) + reach + 2):
            for q in range(int(xs[n]) - reach, int(xs[n]) + reach + 2):
                if p < 0 or q < 0 or p >= net.shape[0] or q >= net.shape[1] or bad[p, q]:
                    continue
                y = (p - ys[n]) * OVERSAMPLING + middle
                x = (q - xs[n]) * OVERSAMPLING + middle
                spread(value, weight, y, x, net[p, q] * (mass / totals[n]), mass)
    return value, weight


def profile_sums(
    *, net: NDArray[np.float32], bad: Bools, fast_px: Floats, slow_px: Floats, total: Floats, reach_px: int
) -> tuple[Floats, Floats]:
    """Numerator and weight of the mean profile of one frame's strong spots; add them up over frames."""
    return learn(net, bad, fast_px, slow_px, total, 2 * reach_px * OVERSAMPLING + 1)  # type: ignore[no-any-return]


def make_profile(
    *, value: Floats, weight: Floats, fit_share: float = 0.95, sum_share: float = 0.97, largest_px: float = 5.0
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
