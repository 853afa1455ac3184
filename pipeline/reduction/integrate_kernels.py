"""Kernels of the integration: marks, background rings, the joint fit of overlapping spots (Gauss–Seidel)."""

from __future__ import annotations

import numpy as np
from numba import njit

from pipeline.reduction.spot_profile import lookup


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
def integrate_spots(net, background, bad, xs, ys, grid, reach, fit_radius, sum_radius, inside, gain, passes):  # type: ignore[no-untyped-def]  # noqa: C901
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
                    own = lookup(grid, q - xs[n], p - ys[n])
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
                        model[p, q] += (now - drawn[n]) * lookup(grid, q - xs[n], p - ys[n])
                drawn[n] = now
    return fitted, variance_fit, summed, variance_sum, status, shift, model, drawn


@njit(cache=True)
def free_of_others(net, model, grid, xs, ys, drawn, shift, which, reach):  # type: ignore[no-untyped-def]
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
                    out[m, i, j] = net[p, q] - shift[n] - model[p, q] + drawn[n] * lookup(grid, q - xs[n], p - ys[n])
    return out
