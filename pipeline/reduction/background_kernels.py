"""Kernels of the background: radial sums, boxes, and the model spread over a frame.

Inner loops run along rows, in 32 bit and without a branch, so that the compiler can make vectors of them; unsigned
indices, because a signed one may be negative and then needs one.
"""

from __future__ import annotations

import numpy as np
from numba import njit


@njit(cache=True)
def squares(columns, cx):  # type: ignore[no-untyped-def]
    """Squared distances of the columns from cx, in 32 bit."""
    return ((np.arange(columns) - cx) ** 2).astype(np.float32)


@njit(cache=True)
def _radial_row(profile, rise, y2, x2, ring, part, out):  # type: ignore[no-untyped-def]
    """Interpolated profile along a row; rise: profile[k + 1] − profile[k]; ring and part are work space."""
    last = np.int32(profile.shape[0] - 2)
    for j in range(out.shape[0]):
        r = np.sqrt(y2 + x2[j])
        k = min(np.int32(r), last)
        ring[j] = k
        part[j] = min(r - np.float32(k), np.float32(1.0))
    for j in range(out.shape[0]):
        at = np.uint32(ring[j])
        out[j] = profile[at] + rise[at] * part[j]


@njit(cache=True)
def _ring_row(y2, x2, mask, bins, out):  # type: ignore[no-untyped-def]
    """Number of the ring of each pixel of a row; ``bins`` for pixels not to be believed."""
    outside = np.int32(bins)
    for j in range(out.shape[0]):
        k = min(np.int32(np.sqrt(y2 + x2[j])), outside)
        out[j] = outside if mask[j] else k


@njit(cache=True)
def _add_row(ring, values, limit, total, counted):  # type: ignore[no-untyped-def]
    """Add the values of a row that lie within the limit of their ring, and their number."""
    for j in range(values.shape[0]):
        r = np.uint32(ring[j])
        v = float(values[j])
        use = 1.0 if v <= limit[r] else 0.0
        total[r] += use * v
        counted[r] += use


@njit(cache=True)
def _add_squares(ring, values, limit, square):  # type: ignore[no-untyped-def]
    for j in range(values.shape[0]):
        r = np.uint32(ring[j])
        v = float(values[j])
        use = 1.0 if v <= limit[r] else 0.0
        square[r] += use * v * v


@njit(cache=True)
def radial_clipped(image, bad, cx, cy, bins, passes, clip):  # type: ignore[no-untyped-def]
    """Mean (bins,) and number of pixels (bins,) in rings; pixels above the mean by ``clip`` times its spread go."""
    rows, columns = image.shape
    ring = np.empty(columns, dtype=np.int32)
    x2 = squares(columns, cx)
    mean = np.zeros(bins)
    limit = np.full(bins + 1, np.inf)
    total, square, counted = np.empty(bins + 1), np.empty(bins + 1), np.empty(bins + 1)
    for turn in range(passes):
        last = turn == passes - 1
        total[:], square[:], counted[:] = 0.0, 0.0, 0.0
        for i in range(rows):
            if not last and i % 4 > 0 and abs(i - cy) > 24.0:
                continue  # a quarter of the pixels finds the limits, all of them the means
            _ring_row(np.float32((i - cy) ** 2), x2, bad[i], bins, ring)
            _add_row(ring, image[i], limit, total, counted)
            if not last:
                _add_squares(ring, image[i], limit, square)
        for r in range(bins):
            if counted[r] > 0:
                mean[r] = total[r] / counted[r]
                spread = np.sqrt(max(square[r] / counted[r] - mean[r] ** 2, mean[r], 0.25))
                limit[r] = mean[r] + clip * spread
    return mean, counted[:bins].copy()


@njit(cache=True)
def _joined(total, number):  # type: ignore[no-untyped-def]
    """Means of boxes joined three by three; 0 where fewer than 20 pixels are good."""
    ny, nx = total.shape
    grid = np.zeros((ny, nx))
    for i in range(ny):
        for j in range(nx):
            rows, columns = slice(max(i - 1, 0), min(i + 2, ny)), slice(max(j - 1, 0), min(j + 2, nx))
            n = np.sum(number[rows, columns])
            grid[i, j] = np.sum(total[rows, columns]) / n if n > 20 else 0.0
    return grid


@njit(cache=True)
def box_means(image, profile, bad, cx, cy, sigma_limit, step):  # type: ignore[no-untyped-def]
    """Mean of what the radial profile leaves in boxes, (rows // step + 2, columns // step + 2) with a rim of zeros."""
    rows, columns = image.shape
    total = np.zeros((rows // step + 2, columns // step + 2))
    number = np.zeros_like(total)
    limit2 = np.float32(sigma_limit * sigma_limit)
    x2 = squares(columns, cx)
    radial = profile.astype(np.float32)
    rise = np.zeros_like(radial)
    rise[:-1] = radial[1:] - radial[:-1]
    ring, part = np.empty(columns, dtype=np.int32), np.empty(columns, dtype=np.float32)
    level = np.empty(columns, dtype=np.float32)
    left, good = np.zeros(columns, dtype=np.float32), np.zeros(columns, dtype=np.float32)
    for i in range(rows):
        line, mask = image[i], bad[i]
        _radial_row(radial, rise, np.float32((i - cy) ** 2), x2, ring, part, level)
        for j in range(columns):
            d = np.float32(line[j]) - level[j]
            fits = d * abs(d) <= limit2 * (level[j] + np.float32(0.3))
            use = np.float32(fits and not mask[j])
            left[j] += use * d
            good[j] += use
        if (i + 1) % step == 0 or i == rows - 1:
            u = i // step + 1
            for v in range(1, total.shape[1]):
                own = slice((v - 1) * step, min(v * step, columns))
                total[u, v] = np.sum(left[own])
                number[u, v] = np.sum(good[own])
            left[:] = 0.0
            good[:] = 0.0
    return _joined(total, number)


@njit(cache=True)
def spread_model(profile, rise, boxes, cx, cy, step, least, out):  # type: ignore[no-untyped-def]
    """Profile and boxes interpolated, nowhere below ``least``, written to ``out`` (slow, fast) in 32 bit."""
    rows, columns = out.shape
    ny, nx = boxes.shape
    lowest = np.float32(least)
    line = np.empty(nx, dtype=np.float32)
    slope = np.empty(nx, dtype=np.float32)
    at, along = np.empty(columns, dtype=np.int32), np.empty(columns, dtype=np.float32)
    ring, part = np.empty(columns, dtype=np.int32), np.empty(columns, dtype=np.float32)
    for j in range(columns):
        x = (j + 0.5) / step + 0.5
        at[j] = min(max(int(x), 0), nx - 2)
        along[j] = x - at[j]
    x2 = squares(columns, cx)
    for i in range(rows):
        y = (i + 0.5) / step + 0.5
        u = min(max(int(y), 0), ny - 2)
        ty = y - u
        for v in range(nx):
            line[v] = boxes[u, v] * (1.0 - ty) + boxes[u + 1, v] * ty
        for v in range(nx - 1):
            slope[v] = line[v + 1] - line[v]
        row = out[i]
        _radial_row(profile, rise, np.float32((i - cy) ** 2), x2, ring, part, row)
        for j in range(columns):
            box = np.uint32(at[j])
            row[j] = max(row[j] + (line[box] + slope[box] * along[j]), lowest)


@njit(cache=True)
def subtract(image, level, out):  # type: ignore[no-untyped-def]
    """image − level, written to ``out``, in 32 bit."""
    for i in range(out.shape[0]):
        values, below, row = image[i], level[i], out[i]
        for j in range(out.shape[1]):
            row[j] = np.float32(values[j]) - below[j]
