"""Compiled sums of a model's structure factors and of their derivatives by the free coordinates."""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

from twin.physics.lattice import Floats, Ints

Complexes = NDArray[np.complex128]


@njit(cache=True)
def site_sums(turned: Floats, phase: Floats, centric: bool, strength: Floats, fract: Floats) -> Complexes:
    """Contribution of each site, (m, n).

    turned (n, p, 3) = 2π hR, phase (n, p) = 2π h·t, one operation of each pair related by the centre when ``centric``;
    strength (m, n): f · damping · multiplicity / number of operations.
    """
    sites, count, operations = len(fract), len(turned), turned.shape[1]
    out = np.empty((sites, count), dtype=np.complex128)
    for i in range(count):
        for m in range(sites):
            real, imaginary = 0.0, 0.0
            for p in range(operations):
                angle = (
                    turned[i, p, 0] * fract[m, 0]
                    + turned[i, p, 1] * fract[m, 1]
                    + turned[i, p, 2] * fract[m, 2]
                    + phase[i, p]
                )
                real += np.cos(angle)
                if not centric:
                    imaginary += np.sin(angle)
            factor = 2.0 * strength[m, i] if centric else strength[m, i]
            out[m, i] = factor * (real + 1j * imaginary)
    return out


@njit(cache=True)
def amplitudes_and_slopes(
    turned: Floats,
    phase: Floats,
    centric: bool,
    strength: Floats,
    g_squared: Floats,
    fract: Floats,
    directions: Floats,
    owner: Ints,
    kind: Ints,
    kinds: int,
) -> tuple[Floats, Floats]:
    """|F| (n,), its derivatives (n, k + kinds) along ``directions`` (3, k) of sites ``owner`` (k,) and by each U."""
    sites, count, operations = len(fract), len(turned), turned.shape[1]
    free = len(owner)
    size = np.empty(count)
    slope = np.zeros((count, free + kinds))
    value = np.empty((sites, 2))
    gradient = np.empty((sites, 3, 2))
    for i in range(count):
        total_real, total_imaginary = 0.0, 0.0
        for m in range(sites):
            value[m] = 0.0
            gradient[m] = 0.0
            for p in range(operations):
                x, y, z = turned[i, p, 0], turned[i, p, 1], turned[i, p, 2]
                angle = x * fract[m, 0] + y * fract[m, 1] + z * fract[m, 2] + phase[i, p]
                c, s = np.cos(angle), np.sin(angle)
                value[m, 0] += c
                gradient[m, 0, 0] -= s * x
                gradient[m, 1, 0] -= s * y
                gradient[m, 2, 0] -= s * z
                if not centric:
                    value[m, 1] += s
                    gradient[m, 0, 1] += c * x
                    gradient[m, 1, 1] += c * y
                    gradient[m, 2, 1] += c * z
            factor = 2.0 * strength[m, i] if centric else strength[m, i]
            value[m] *= factor
            gradient[m] *= factor
            total_real += value[m, 0]
            total_imaginary += value[m, 1]
        length = np.sqrt(total_real**2 + total_imaginary**2)
        size[i] = length
        u, v = total_real / max(length, 1e-12), total_imaginary / max(length, 1e-12)
        for k in range(free):
            m = owner[k]
            for a in range(3):
                slope[i, k] += directions[a, k] * (u * gradient[m, a, 0] + v * gradient[m, a, 1])
        for m in range(sites):
            slope[i, free + kind[m]] -= 2.0 * np.pi**2 * g_squared[i] * (u * value[m, 0] + v * value[m, 1])
    return size, slope
