"""Bounds of the spectrum of a Hermitian matrix, and of the operators of a frame."""

from __future__ import annotations

from typing import Any

import numba
import numpy as np
from numpy.typing import NDArray

from twin.physics.chebyshev import Spectrum, spectrum_of
from twin.physics.lattice import Floats

Array = NDArray[Any]
_LANCZOS_STEPS = 12
_SMALL = 64
_ROUNDING = 2e-6  # of matrices in 32 bit
_EMPTY = np.empty((0, 0))
_NO_MASK = np.empty((0, 0), dtype=bool)
_RITZ_MARGIN = 0.003  # of the width of the spectrum, beyond the residuals


@numba.njit(cache=True)
def _ritz(matrix: Array, start: Array, steps: int) -> tuple[float, float, float, float]:
    """(lowest, highest) Ritz value after a few Lanczos steps, and the residual of each."""
    n = start.size
    t = np.zeros((steps, steps))
    v, before, w = start.copy(), np.zeros_like(start), np.zeros_like(start)
    last, most, count = 0.0, 1e-300, 0
    for j in range(steps):
        np.dot(matrix, v, w)
        alpha = float(np.vdot(v, w).real)
        square = 0.0
        for i in range(n):
            w[i] -= alpha * v[i] + last * before[i]
            square += abs(w[i]) ** 2
        last, most, count = np.sqrt(square), max(most, abs(alpha)), j + 1
        t[j, j] = alpha
        if j + 1 == steps or last <= 1e-6 * most:
            break
        t[j, j + 1], t[j + 1, j] = last, last
        for i in range(n):
            before[i] = v[i]
            v[i] = w[i] / last
    values, vectors = np.linalg.eigh(t[:count, :count])
    end = vectors[count - 1]
    return values[0], values[-1], abs(last * end[0]), abs(last * end[-1])


def hermitian_bounds(matrix: Array, *, steps: int = _LANCZOS_STEPS) -> tuple[float, float]:
    """(lower, upper) bounds of the eigenvalues of a Hermitian (n, n) matrix.

    Exact for n ≤ 64; otherwise the extreme Ritz values of a few Lanczos steps, widened by their residuals
    (Zhou & Li, Linear Algebra Appl. 435 (2011) 480) and by 0.3 %. The recurrence shows when they were too narrow.
    """
    n = matrix.shape[0]
    if n <= _SMALL:
        values = np.linalg.eigvalsh(matrix)
        slack = _ROUNDING * float(np.abs(values).max())
        return float(values[0]) - slack, float(values[-1]) + slack
    start = (np.cos(1.0 + 1.7 * np.arange(n)) + 1.0).astype(matrix.dtype)
    low, high, below, above = _ritz(np.ascontiguousarray(matrix), start / np.linalg.norm(start), steps)
    margin = _RITZ_MARGIN * (high - low) + _ROUNDING * max(abs(low), abs(high))
    return float(low - below - margin), float(high + above + margin)


def frame_spectra(
    *,
    hermitian: Array,
    diagonal: Floats,
    weight: Floats | None,
    active: NDArray[np.bool_] | None,
    absorption: tuple[float, float],
) -> tuple[Spectrum, ...]:
    """Bounds for all orientations of W_s U + D_s on its active beams: the one to try first and wider ones.

    hermitian (N, N); diagonal, weight, active (N, S). One orientation is examined, that with most beams. How far its
    eigenvalues lie beyond its own diagonal is taken for all others too, with half the strongest |U_g| as a margin: far
    narrower than the sum of the bounds of the parts. The recurrence shows if an orientation were outside.
    """
    used = _NO_MASK if active is None else active
    sample, own, whole = _extremes(diagonal, used)
    like = np.zeros(0, dtype=np.complex64 if np.iscomplexobj(hermitian) else np.float32)
    part = _at_orientation(hermitian, diagonal, _EMPTY if weight is None else weight, used, sample, like)
    low, high = hermitian_bounds(part)
    if diagonal.shape[1] > 1:
        margin = 0.5 * float(np.abs(hermitian[0, 1:]).max(initial=0.0))
        low, high = low + (whole[0] - own[0]) - margin, high + (whole[1] - own[1]) + margin
    first = spectrum_of(real=(low, high), absorption=absorption)
    return first, first.widened(1.3), first.widened(2.5), first.widened(10.0)


@numba.njit(cache=True)
def _extremes(diagonal: Floats, active: NDArray[np.bool_]) -> tuple[int, tuple[float, float], tuple[float, float]]:
    """Column with most active elements, (smallest, largest) of its own and of all; ``active`` may be empty: all are."""
    s = diagonal.shape[1]
    counts, least, most = np.zeros(s, dtype=np.int64), np.full(s, np.inf), np.full(s, -np.inf)
    for i in range(diagonal.shape[0]):
        for j in range(s):
            if active.size == 0 or active[i, j]:
                counts[j] += 1
                least[j] = min(least[j], diagonal[i, j])
                most[j] = max(most[j], diagonal[i, j])
    j = int(np.argmax(counts))
    return j, (least[j], most[j]), (least.min(), most.max())


@numba.njit(cache=True)
def _at_orientation(
    matrix: Array, diagonal: Floats, weight: Floats, active: NDArray[np.bool_], column: int, like: Array
) -> Array:
    """√W U √W + D on the beams that are active at one orientation; weight and active may be empty. Type of ``like``."""
    keep = np.empty(len(matrix), dtype=np.uint32)
    n = 0
    for i in range(len(matrix)):
        if active.size == 0 or active[i, column]:
            keep[n] = i
            n += 1
    scale = np.ones(n, dtype=np.float32)
    out = np.empty((n, n), dtype=like.dtype)
    for i in range(n):
        if weight.size > 0:
            scale[i] = np.sqrt(weight[keep[i], column])
    for i in range(n):
        source, line = matrix[keep[i]], out[i]
        for j in range(n):
            line[j] = scale[i] * scale[j] * source[keep[j]]
        line[i] += diagonal[keep[i], column]
    return out
