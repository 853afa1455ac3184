"""The recurrence T_{k+1} = 2X T_k − T_{k−1} on blocks of states, and the sum of its terms.

A block holds states as rows, (s, n): one matrix product for all orientations, then one pass for their diagonals.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numba
import numpy as np
from numpy.typing import NDArray

from twin.physics.blocks import (
    CHUNK,
    Block,
    Picked,
    Workspace,
    fill_matrix,
    fill_operator,
    operator_arrays,
    padded,
)
from twin.physics.chebyshev import Series, Spectrum
from twin.physics.lattice import Floats
from twin.physics.slab import Slab

Array = NDArray[Any]
_NO_ROOT = np.empty((0, 0))
_NO_MATRIX = np.empty((0, 0))


@numba.njit(cache=True, fastmath=True)
def _advance(product: Array, diagonal: Array, mask: Array, now: Array, before: Array) -> None:
    """product ← mask · product + diagonal · now − before, all flat (s n,)."""
    for i in range(product.size):
        product[i] = mask[i] * product[i] + diagonal[i] * now[i] - before[i]


@numba.njit(cache=True)
def _pick(ring: Array, rows: NDArray[np.int64], n: int, out: Array) -> None:
    """Columns ``rows`` of the (s, n) blocks in ring (terms, s n) into out (terms, s m)."""
    m = rows.size
    for k in range(ring.shape[0]):
        for i in range(ring.shape[1] // n):
            for j in range(m):
                out[k, i * m + j] = ring[k, i * n + rows[j]]


@numba.njit(cache=True)
def _gather(
    ring: Array, weights: Array, rows: NDArray[np.int64], n: int, everything: bool, chosen: Array, parts: Array
) -> None:
    """Add the terms of a full ring (2, half, columns) to parts (2, J, s m), weighted (2, J, half); chosen is room."""
    for parity in range(2):
        part = np.ascontiguousarray(weights[parity])
        if everything:
            parts[parity] += np.dot(part, ring[parity])
        else:
            _pick(ring[parity], rows, n, chosen[parity])
            parts[parity] += np.dot(part, chosen[parity])


@numba.njit(cache=True)
def _run(
    matrix: Array,
    diagonal: Array,
    mask: Array,
    space: Array,
    weights: Array,
    rows: NDArray[np.int64],
    everything: bool,
    terms: int,
    parts: Array,
) -> Array:
    """Recurrence and sum of a block; returns the last term.

    space: at least CHUNK s n, aligned like the others; weights: (2, J, padded terms / 2) of the even and odd terms;
    parts: (2, J, s m) sums of the beams ``rows`` (m,), or of all n, filled here. Terms are kept in a ring of CHUNK,
    even and odd apart, and summed when it is full.
    """
    s, n = diagonal.shape
    half = CHUNK // 2
    ring = space[: CHUNK * s * n].reshape(2, half, s * n)
    ring[0, 0] = 0.0
    if terms < CHUNK:  # what is not reached must be finite
        ring[:] = 0.0
    chosen = np.zeros((2, half, 0 if everything else s * rows.size), dtype=diagonal.dtype)
    for i in range(s):
        ring[0, 0, i * n] = 1.0
        for j in range(n):
            ring[1, 0, i * n + j] = 0.5 * mask[i, j] * matrix[0, j]
        ring[1, 0, i * n] += 0.5 * diagonal[i, 0]
    for c in range(-(-terms // CHUNK)):
        for k in range(max(2, c * CHUNK), min(terms, (c + 1) * CHUNK)):
            now = ring[(k - 1) % 2, ((k - 1) // 2) % half]
            before = ring[k % 2, (k // 2 - 1) % half]
            product = ring[k % 2, (k // 2) % half]
            np.dot(now.reshape(s, n), matrix, product.reshape(s, n))
            _advance(product, diagonal.reshape(-1), mask.reshape(-1), now, before)
        _gather(ring, weights[:, :, c * half : (c + 1) * half], rows, n, everything, chosen, parts)
    last: Array = ring[(terms - 1) % 2, ((terms - 1) // 2) % half]
    return last


@numba.njit(cache=True, fastmath=True)
def _advance_complex(
    product: Array, other: Array, diagonal: Array, loss: float, mask: Array, now: Array, before: Array
) -> None:
    """product ← mask · (product + i other) + (diagonal + i loss) · now − before; rows: s real parts, s imaginary ones.

    product: now · real part of the matrix; other: now · imaginary part; all flat (2 s n,) but diagonal and mask (s n,).
    """
    half = diagonal.size
    for i in range(half):
        j = half + i
        real = mask[i] * (product[i] - other[j]) + diagonal[i] * now[i] - loss * now[j] - before[i]
        product[j] = mask[i] * (product[j] + other[i]) + diagonal[i] * now[j] + loss * now[i] - before[j]
        product[i] = real


@numba.njit(cache=True)
def _run_complex(
    matrix: Array,
    imaginary: Array,
    diagonal: Array,
    loss: float,
    mask: Array,
    other: Array,
    space: Array,
    weights: Array,
    rows: NDArray[np.int64],
    everything: bool,
    terms: int,
    parts: Array,
) -> Array:
    """As :func:`_run` for a complex matrix, by real products of twice as many rows; parts (2, J, 2 s m)."""
    s, n = diagonal.shape
    half = CHUNK // 2
    ring = space[: 2 * CHUNK * s * n].reshape(2, half, 2 * s * n)
    ring[0, 0] = 0.0
    if terms < CHUNK:
        ring[:] = 0.0
    chosen = np.zeros((2, half, 0 if everything else 2 * s * rows.size), dtype=diagonal.dtype)
    for i in range(s):
        ring[0, 0, i * n] = 1.0
        for j in range(n):
            ring[1, 0, i * n + j] = 0.5 * mask[i, j] * matrix[0, j]
            ring[1, 0, (s + i) * n + j] = 0.5 * mask[i, j] * imaginary[0, j]
        ring[1, 0, i * n] += 0.5 * diagonal[i, 0]
        ring[1, 0, (s + i) * n] += 0.5 * loss
    turned = other[: 2 * s * n]
    for c in range(-(-terms // CHUNK)):
        for k in range(max(2, c * CHUNK), min(terms, (c + 1) * CHUNK)):
            now = ring[(k - 1) % 2, ((k - 1) // 2) % half]
            before = ring[k % 2, (k // 2 - 1) % half]
            product = ring[k % 2, (k // 2) % half]
            np.dot(now.reshape(2 * s, n), matrix, product.reshape(2 * s, n))
            np.dot(now.reshape(2 * s, n), imaginary, turned.reshape(2 * s, n))
            _advance_complex(product, turned, diagonal.reshape(-1), loss, mask.reshape(-1), now, before)
        _gather(ring, weights[:, :, c * half : (c + 1) * half], rows, n, everything, chosen, parts)
    last: Array = ring[(terms - 1) % 2, ((terms - 1) // 2) % half]
    return last


@numba.njit(cache=True)
def _scatter(
    parts: Array,
    phase: Array,
    root: Floats,
    rows: NDArray[np.int64],
    place: NDArray[np.int64],
    first: int,
    columns: int,
    twice: bool,
    out: Array,
) -> None:
    """out[:, place, first:] ← phase_j (even sum + i odd sum) / root; parts (2, J, s m), or ``twice`` as many, m ≥ p.

    phase (J,); root (N, S), or empty for ones; rows (p,) of the N beams; place (p,) of them in out (J, M, S).
    """
    size = parts.shape[2] // 2 if twice else parts.shape[2]
    width = size // columns
    for t in range(parts.shape[1]):
        for j in range(rows.size):
            for i in range(columns):
                k = i * width + j
                scale = 1.0 if root.size == 0 else 1.0 / root[rows[j], first + i]
                value = complex(parts[0, t, k], parts[1, t, k])
                if twice:
                    value += complex(-parts[1, t, size + k], parts[0, t, size + k])
                out[t, place[j], first + i] = scale * phase[t] * value


@numba.njit(cache=True)
def _solve(
    operator: tuple[Array, Array, Floats, Floats, NDArray[np.bool_]],
    root: Floats,
    listed: tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]],
    wanted: tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]],
    scale: float,
    shift: complex,
    weights: Array,
    phase: Array,
    terms: int,
    space: tuple[Array, Array, Array, Array, Array, Array],
    line: int,
    todo: NDArray[np.int64],
    sizes: Floats,
    out: Array,
) -> None:
    """Blocks ``todo`` one after another, into ``out``; ``sizes``: the largest element of each one's last term.

    See :func:`solve_blocks`; ``line``: elements to a cache line.
    """
    source, other_source, values, weight, active = operator
    columns, ends, all_rows = listed
    picks, picked, places = wanted
    memory, imaginary, long_diagonal, long_mask, product, ring = space
    twice = imaginary.size > 0
    for b in todo:
        rows = all_rows[ends[b] : ends[b + 1]]
        first, s = columns[b], columns[b + 1] - columns[b]
        n = -(-rows.size // line) * line
        matrix = memory[: n * n].reshape(n, n)
        diagonal, mask = long_diagonal[: s * n].reshape(s, n), long_mask[: s * n].reshape(s, n)
        fill_operator(source, values, weight, active, rows, first, scale, shift.real, matrix, diagonal, mask)
        local, place = picked[picks[b] : picks[b + 1]], places[picks[b] : picks[b + 1]]
        everything = local.size == rows.size
        for i in range(local.size):
            everything = everything and local[i] == i
        wide = (2 if twice else 1) * s * (n if everything else local.size)
        parts = np.zeros((2, phase.size, wide), dtype=matrix.dtype)
        if twice:
            second = imaginary[: n * n].reshape(n, n)
            fill_matrix(other_source, rows, scale, second)
            loss = matrix.dtype.type(-scale * shift.imag)
            last = _run_complex(
                matrix, second, diagonal, loss, mask, product, ring, weights, local, everything, terms, parts
            )
        else:
            last = _run(matrix, diagonal, mask, ring, weights, local, everything, terms, parts)
        _scatter(parts, phase, root, rows[local], place, first, s, twice, out)
        sizes[b] = _largest(last)


@numba.njit(cache=True)
def _largest(values: Array) -> float:
    """Largest magnitude; infinite when a value is not finite."""
    found = 0.0
    for i in range(values.size):
        size = abs(values[i])
        if not np.isfinite(size):
            return np.inf
        found = max(found, size)
    return found


def solve_blocks(
    slab: Slab,
    parts: Sequence[Block],
    picked: Picked,
    spectrum: Spectrum,
    coefficients: Series,
    weights: Array,
    *,
    space: Workspace,
    todo: NDArray[np.int64],
    out: Array,
) -> Floats:
    """Amplitudes of the blocks ``todo`` into out (J, M, S); returns the largest element of each one's last term.

    weights: ``coefficients.alternating(CHUNK, real type)``. A largest element beyond the growth that the spectrum
    allows says that the bounds were too narrow.
    """
    kind, twice = space.matrix.dtype, space.imaginary.size > 0
    edges = np.array([0, *(b.columns[-1] + 1 for b in parts)])
    ends = np.cumsum([0, *(b.rows.size for b in parts)])
    sizes = np.zeros(len(parts))
    source, values, weight, active = operator_arrays(slab)
    imaginary = np.ascontiguousarray(source.imag) if twice else _NO_MATRIX
    _solve(
        (np.ascontiguousarray(source.real), imaginary, values, weight, active),
        _NO_ROOT if slab.root is None else slab.root,
        (edges, ends, np.concatenate([b.rows for b in parts])),
        (picked.ends, picked.local, picked.place),
        kind.type(2.0 / spectrum.radius),
        complex(spectrum.shift),
        weights,
        coefficients.phase,
        coefficients.terms,
        (space.matrix, space.imaginary, space.diagonal, space.mask, space.product, space.ring),
        padded(1, kind),
        todo,
        sizes,
        out,
    )
    return sizes
