"""Kernels of the integration: marks, background rings, the joint fit of overlapping spots (Gauss–Seidel)."""

from __future__ import annotations

import numpy as np
from numba import njit

from pipeline.reduction.spot_profile import OVERSAMPLING, lookup, say, spread

RING_PX = 4.5  # width of the ring in which the background of a spot is looked up


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
def _stamps(grid, xs, ys, reach):  # type: ignore[no-untyped-def]
    """The profile in the pixels around each spot, (n, 2 reach + 1, 2 reach + 1)."""
    size = 2 * reach + 1
    out = np.empty((xs.shape[0], size, size))
    for n in range(xs.shape[0]):
        dx, dy = np.rint(xs[n]) - reach - xs[n], np.rint(ys[n]) - reach - ys[n]
        for i in range(size):
            for j in range(size):
                out[n, i, j] = lookup(grid, dx + j, dy + i)
    return out


@njit(cache=True)
def _ring_pixels(bad, owner, x, y, inner, pixels):  # type: ignore[no-untyped-def]
    """Numbers of the pixels of a ring that belong to no spot, written to ``pixels``; how many they are."""
    rows, columns = bad.shape
    outer = inner + RING_PX
    reach = int(np.ceil(outer))
    count = 0
    for p in range(max(int(y) - reach, 0), min(int(y) + reach + 2, rows)):
        for q in range(max(int(x) - reach, 0), min(int(x) + reach + 2, columns)):
            d2 = (p - y) ** 2 + (q - x) ** 2
            if d2 < inner * inner or d2 > outer * outer or owner[p, q] or bad[p, q]:
                continue
            pixels[count] = p * columns + q
            count += 1
    return count


@njit(cache=True)
def _ring(net, model, background, pixels, values, levels, gain):  # type: ignore[no-untyped-def]
    """Clipped mean of what models and smooth background leave in ``pixels`` of the flattened frame, its variance, and
    whether enough of them are left; values, levels: work space."""
    for k in range(pixels.shape[0]):
        at = np.uint32(pixels[k])
        values[k] = net[at] - model[at]
        levels[k] = background[at] + max(model[at], np.float32(0.0))
    mean = 0.0
    variance = 0.0
    low = -np.inf
    high = np.inf
    for _ in range(3):
        total = 0.0
        level = 0.0
        number = 0.0
        for k in range(pixels.shape[0]):
            use = 1.0 if low <= values[k] <= high else 0.0
            total += use * values[k]
            level += use * levels[k]
            number += use
        if number < 10.0:
            return mean, variance, False
        mean = total / number
        variance = gain * level / number / number
        spread = 5.0 * np.sqrt(gain * level / number + 0.5)
        high = mean + spread
        low = mean - spread
    return mean, variance, True


@njit(cache=True)
def _unevenness(level, variance, status):  # type: ignore[no-untyped-def]
    """Mean of what the smooth background misses under the spots of a frame, and the variance about it.

    From the rings, as far as their noise does not explain it: the median square of a normal deviate is 0.4549.
    The variance is infinite with fewer than 20 rings, which then stand for themselves.
    """
    good = (status == 0) & (variance > 0.0)
    if np.sum(good) < 20:
        return 0.0, np.inf
    weight = 1.0 / variance[good]
    own = level[good]
    near = own * own * weight < 16.0
    mean = np.sum((own * weight)[near]) / np.sum(weight[near]) if np.any(near) else 0.0
    excess = np.median((own - mean) ** 2 * weight) / 0.4549 - 1.0
    return mean, max(excess, 0.0) * np.median(variance[good])


@njit(cache=True)
def integrate_spots(  # type: ignore[no-untyped-def]  # noqa: C901
    net, background, bad, xs, ys, grid, reach, fit_radius, sum_radius, inside, gain, passes, owner, model
):
    """``owner`` and ``model``: arrays of the size of the frame; the latter holds the models of the spots afterwards."""
    rows, columns = net.shape
    n_spots = xs.shape[0]
    core = int(np.ceil(max(fit_radius, sum_radius))) + 1
    owner[:] = 0
    model[:] = 0.0
    status = _mark(owner, bad, xs, ys, max(fit_radius, sum_radius), core + 2)
    stamps = _stamps(grid, xs, ys, reach)
    drawn = np.zeros(n_spots)
    fitted = np.zeros(n_spots)
    summed = np.zeros(n_spots)
    shift = np.zeros(n_spots)
    ring_level = np.zeros(n_spots)
    ring_variance = np.zeros(n_spots)
    common, uneven = 0.0, np.inf
    flat = (net.reshape(-1), model.reshape(-1), background.reshape(-1))
    most = (2 * int(np.ceil(fit_radius + 0.5 + RING_PX)) + 2) ** 2
    in_ring, ring_size = np.empty((n_spots, most), dtype=np.int32), np.zeros(n_spots, dtype=np.int64)
    values, levels = np.empty(most), np.empty(most)
    for n in range(n_spots):
        if status[n] != 1:
            ring_size[n] = _ring_pixels(bad, owner, xs[n], ys[n], fit_radius + 0.5, in_ring[n])
    variance_fit = np.ones(n_spots)
    variance_sum = np.ones(n_spots)
    base_fit = np.ones(n_spots)  # variances that the spot itself adds nothing to
    base_sum = np.ones(n_spots)
    for turn in range(passes):
        steady = True
        if turn > 0:  # the first time neighbours are still in the rings
            common, uneven = _unevenness(ring_level, ring_variance, status)
        for n in range(n_spots):
            if status[n] == 1:
                continue
            x, y = int(np.rint(xs[n])), int(np.rint(ys[n]))
            own_ring = in_ring[n, : ring_size[n]]
            level, level_variance, enough = _ring(flat[0], flat[1], flat[2], own_ring, values, levels, gain)
            if not enough:
                level_variance += gain * background[int(ys[n]), int(xs[n])] * 0.2
            ring_level[n] = level
            ring_variance[n] = level_variance
            if uneven < np.inf:
                trust = uneven / (uneven + level_variance) if uneven > 0.0 else 0.0
                level = common + trust * (level - common)
                level_variance *= trust
            shift[n] = level
            top = 0.0
            below = 0.0
            below_bare = 0.0
            weight_sum = 0.0
            total = 0.0
            under = 0.0
            pixels = 0.0
            for p in range(y - core, y + core + 1):
                for q in range(x - core, x + core + 1):
                    if bad[p, q]:
                        continue
                    own = stamps[n, p - y + reach, q - x + reach]
                    other = model[p, q] - drawn[n] * own
                    value = net[p, q] - level - other
                    d2 = (p - ys[n]) ** 2 + (q - xs[n]) ** 2
                    if d2 <= fit_radius * fit_radius:
                        variance = gain * max(background[p, q] + max(model[p, q], 0.0), 0.05)
                        bare = gain * max(background[p, q] + max(other, 0.0), 0.05)
                        below_bare += own * own / bare
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
            base_fit[n] = 1.0 / below_bare + level_variance * (weight_sum / below) ** 2
            summed[n] = total / inside
            base_sum[n] = (gain * under + pixels * pixels * level_variance) / inside**2
            variance_sum[n] = base_sum[n] + gain * max(total, 0.0) / inside**2
            now = fitted[n] if fitted[n] > 2.0 * np.sqrt(variance_fit[n]) else 0.0
            if abs(now - drawn[n]) > 0.02 * np.sqrt(variance_fit[n]):
                steady = False
                for p in range(max(y - reach, 0), min(y + reach + 1, rows)):
                    for q in range(max(x - reach, 0), min(x + reach + 1, columns)):
                        model[p, q] += (now - drawn[n]) * stamps[n, p - y + reach, q - x + reach]
                drawn[n] = now
        if steady and turn > 0:
            break
    return fitted, variance_fit, base_fit, summed, variance_sum, base_sum, status, shift, drawn


@njit(cache=True)
def _moment_of_one(net, model, background, bad, grid, x, y, shift, radius, gain):  # type: ignore[no-untyped-def]
    """Amplitude times displacement of one spot (fast, slow) and its sigma, in counts × px; sigma < 0 where none.

    Least squares of what is left of the spot on its profile and the two derivatives of the profile.
    """
    a = np.zeros((3, 3))
    b = np.zeros(3)
    row = np.zeros(3)
    reach = int(np.ceil(radius)) + 1
    step = 1.0 / OVERSAMPLING
    for p in range(int(np.rint(y)) - reach, int(np.rint(y)) + reach + 1):
        for q in range(int(np.rint(x)) - reach, int(np.rint(x)) + reach + 1):
            u, v = q - x, p - y
            if u * u + v * v > radius * radius or bad[p, q]:
                continue
            row[0] = lookup(grid, u, v)
            row[1] = (lookup(grid, u - step, v) - lookup(grid, u + step, v)) / (2.0 * step)
            row[2] = (lookup(grid, u, v - step) - lookup(grid, u, v + step)) / (2.0 * step)
            residual = net[p, q] - shift - model[p, q]
            weight = 1.0 / (gain * max(background[p, q] + max(model[p, q], 0.0), 0.05))
            for i in range(3):
                b[i] += weight * row[i] * residual
                for j in range(3):
                    a[i, j] += weight * row[i] * row[j]
    if a[0, 0] <= 0.0 or a[1, 1] * a[2, 2] - a[1, 2] * a[2, 1] <= 1e-12 * a[1, 1] * a[2, 2]:
        return 0.0, 0.0, -1.0
    inverse = np.linalg.inv(a)
    dx = inverse[1, 0] * b[0] + inverse[1, 1] * b[1] + inverse[1, 2] * b[2]
    dy = inverse[2, 0] * b[0] + inverse[2, 1] * b[1] + inverse[2, 2] * b[2]
    return dx, dy, np.sqrt(0.5 * (inverse[1, 1] + inverse[2, 2]))


@njit(cache=True)
def moments(net, background, bad, xs, ys, grid, radius, gain, model, shift, status, fitted, sigma):  # type: ignore[no-untyped-def]
    """Of every spot (n, 3): amplitude times displacement along fast and slow, and its sigma, negative where none."""
    out = np.zeros((xs.shape[0], 3))
    out[:, 2] = -1.0
    for n in range(xs.shape[0]):
        if status[n] != 0:
            continue
        mx, my, error = _moment_of_one(net, model, background, bad, grid, xs[n], ys[n], shift[n], radius, gain)
        # beyond 1.5 px the derivative of the profile says nothing
        far = fitted[n] > 4.0 * sigma[n] and max(abs(mx), abs(my)) > 1.5 * fitted[n]
        out[n, 0], out[n, 1], out[n, 2] = mx, my, -1.0 if far else error
    return out


@njit(cache=True)
def learn_spots(net, model, bad, grid, xs, ys, totals, drawn, shift, which, reach, size):  # type: ignore[no-untyped-def]
    """Numerator and weight (size, size) of the mean profile of chosen spots, freed of neighbours and background; from
    pixels that are to be believed."""
    middle = (size - 1) // 2
    value = np.zeros((size, size))
    weight = np.zeros((size, size))
    rows, columns = net.shape
    for m in range(which.shape[0]):
        n = which[m]
        mass = say(totals[n])
        for p in range(max(int(ys[n]) - reach - 1, 0), min(int(ys[n]) + reach + 3, rows)):
            for q in range(max(int(xs[n]) - reach - 1, 0), min(int(xs[n]) + reach + 3, columns)):
                if bad[p, q]:
                    continue
                own = drawn[n] * lookup(grid, q - xs[n], p - ys[n])
                counts = net[p, q] - shift[n] - model[p, q] + own
                y = (p - ys[n]) * OVERSAMPLING + middle
                x = (q - xs[n]) * OVERSAMPLING + middle
                spread(value, weight, y, x, counts * (mass / totals[n]), mass)
    return value, weight
