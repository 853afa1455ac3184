"""Counts at many positions of a frame: under a small filter, above the ring around it; and discs around spots."""

from __future__ import annotations

import numpy as np
from numba import njit

FILTER_PX = 1.2
CORE_PX = 3.0  # radius of the filter
RING_PX = 8.5  # outer radius of the ring whose level counts as background
_INNER_PX = 4.5
_REACH_PX = 9


@njit(cache=True)
def mark(marked, xs, ys, radius):  # type: ignore[no-untyped-def]
    """Set the pixels of ``marked`` (slow, fast) whose centre lies within ``radius`` of the pixel of a position."""
    rows, columns = marked.shape
    reach = int(radius)
    half = np.empty(2 * reach + 1, dtype=np.int64)
    for k in range(-reach, reach + 1):
        half[k + reach] = int(np.sqrt(radius * radius - k * k))
    for n in range(xs.shape[0]):
        x, y = int(np.rint(xs[n])), int(np.rint(ys[n]))
        for p in range(max(y - reach, 0), min(y + reach + 1, rows)):
            wide = half[p - y + reach]
            marked[p, max(x - wide, 0) : max(min(x + wide + 1, columns), 0)] = True


@njit(cache=True)
def far_from(xs, ys, spots_x, spots_y, distance):  # type: ignore[no-untyped-def]
    """Which positions lie further than ``distance`` from every spot of the same frame, (n,)."""
    far = np.ones(xs.shape[0], dtype=np.bool_)
    limit = distance * distance
    for n in range(xs.shape[0]):
        for m in range(spots_x.shape[0]):
            dx, dy = xs[n] - spots_x[m], ys[n] - spots_y[m]
            if dx * dx + dy * dy < limit:
                far[n] = False
                break
    return far


@njit(cache=True)
def filtered(image, bad, spots, xs, ys, wanted):  # type: ignore[no-untyped-def]
    """Counts under a Gaussian filter above the ring around it (without what ``spots`` marks), and the level of the
    ring, per position; NaN where not ``wanted``, where the filter holds a bad pixel, too little of the ring is left, or
    the detector ends. The level is the median of the means of eight sectors."""
    rows, columns = image.shape
    value = np.full(xs.shape[0], np.nan)
    level = np.full(xs.shape[0], np.nan)
    size = 2 * _REACH_PX + 1
    core2, inner2, outer2 = CORE_PX**2, _INNER_PX**2, RING_PX**2
    totals, numbers, means = np.zeros(8), np.zeros(8), np.zeros(8)
    across = np.empty(size)
    narrow = -0.5 / FILTER_PX**2
    for n in range(xs.shape[0]):
        x0, y0 = int(np.rint(xs[n])), int(np.rint(ys[n]))
        inside = x0 >= _REACH_PX and y0 >= _REACH_PX and x0 < columns - _REACH_PX and y0 < rows - _REACH_PX
        if not wanted[n] or not inside:
            continue
        totals[:] = 0.0
        numbers[:] = 0.0
        for k in range(size):
            across[k] = np.exp(narrow * (x0 - _REACH_PX + k - xs[n]) ** 2)
        top, weights = 0.0, 0.0
        good = True
        for p in range(y0 - _REACH_PX, y0 + _REACH_PX + 1):
            dy = p - ys[n]
            down = np.exp(narrow * dy * dy) if abs(dy) <= CORE_PX else 0.0
            for k in range(size):
                q = x0 - _REACH_PX + k
                dx = q - xs[n]
                d2 = dx * dx + dy * dy
                if d2 <= core2:
                    if bad[p, q]:
                        good = False
                        continue
                    w = down * across[k]
                    top += w * image[p, q]
                    weights += w
                elif inner2 < d2 < outer2 and not bad[p, q] and not spots[p, q]:
                    sector = (dx > 0.0) + 2 * (dy > 0.0) + 4 * (abs(dx) > abs(dy))
                    totals[sector] += image[p, q]
                    numbers[sector] += 1.0
        known = 0
        for k in range(8):
            if numbers[k] > 4.0:
                means[known] = totals[k] / numbers[k]
                known += 1
        if not good or known < 4:
            continue
        here = np.median(means[:known])
        value[n] = top - here * weights
        level[n] = max(here, 0.02)
    return value, level
