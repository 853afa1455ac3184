"""The recurrence T_{k+1} = 2X T_k − T_{k−1} on blocks of states, and the sum of its terms.

A block holds states as rows, (s, n): one matrix product for all orientations, then one pass for their diagonals.
"""

from __future__ import annotations

from typing import Any

import numba
import numpy as np
from numpy.typing import NDArray

from twin.physics.chebyshev import Series, Spectrum
from twin.physics.lattice import Floats
from twin.physics.slab import Block, Slab, block_operator

Array = NDArray[Any]
CHUNK = 16


@numba.njit(cache=True, fastmath=True)
def advance_sources(product: Array, source: Array, diagonal: Array, mask: Array, now: Array, before: Array) -> None:
    """product ← mask · (product + source) + diagonal · now − before; (p, s, n), mask and diagonal (s, n)."""
    for k in range(product.shape[0]):
        for i in range(product.shape[1]):
            for j in range(product.shape[2]):
                product[k, i, j] = (
                    mask[i, j] * (product[k, i, j] + source[k, i, j]) + diagonal[i, j] * now[k, i, j] - before[k, i, j]
                )


def kind_of(slab: Slab, *, single: bool) -> np.dtype[Any]:
    """Type of the states: real for a real matrix."""
    if np.iscomplexobj(slab.matrix):
        return np.dtype(np.complex64 if single else np.complex128)
    return np.dtype(np.float32 if single else np.float64)


class Sum:
    """Σ_k i^k r_kj X_k over chunks of terms, for all thicknesses j by one matrix product a chunk.

    Even and odd terms are summed apart, which for real X_k are the real and the imaginary part.
    """

    def __init__(self, *, coefficients: Series, size: int, kind: np.dtype[Any]) -> None:
        self._series = coefficients
        self._weights = coefficients.alternating(2, kind)
        self._parts = np.zeros((2, self._weights.shape[1], size), dtype=kind)

    def add(self, start: int, terms: Array) -> None:
        """Add terms (c, size) that are number ``start`` (even) and following."""
        flat = terms.reshape(len(terms), -1)
        for parity in (0, 1):
            chosen = flat[parity::2]
            self._parts[parity] += self._weights[parity][:, start // 2 : start // 2 + len(chosen)] @ chosen

    def value(self, shape: tuple[int, ...]) -> Array:
        """(J, *shape) sum with its phases."""
        return with_phase(self._parts, self._series.phase, shape)


@numba.njit(cache=True, fastmath=True)
def _advance(product: Array, diagonal: Array, mask: Array, now: Array, before: Array) -> None:
    """product ← mask · product + diagonal · now − before, all (s, n)."""
    for i in range(product.shape[0]):
        for j in range(product.shape[1]):
            product[i, j] = mask[i, j] * product[i, j] + diagonal[i, j] * now[i, j] - before[i, j]


@numba.njit(cache=True)
def _pick(ring: Array, rows: NDArray[np.int64], n: int, out: Array) -> None:
    """Columns ``rows`` of the (s, n) blocks in ring (terms, s n) into out (terms, s m)."""
    m = rows.size
    for k in range(ring.shape[0]):
        for i in range(ring.shape[1] // n):
            for j in range(m):
                out[k, i * m + j] = ring[k, i * n + rows[j]]


@numba.njit(cache=True)
def _run(
    matrix: Array, diagonal: Array, mask: Array, weights: Array, rows: NDArray[np.int64], terms: int, parts: Array
) -> Array:
    """Recurrence and sum of a block; returns the last term.

    weights: (2, J, padded terms / 2) of the even and odd terms; parts: (2, J, s m) sums, filled here; rows: (m,).
    Terms are kept in a ring of CHUNK, even and odd apart, and summed when it is full.
    """
    s, n = diagonal.shape
    half = CHUNK // 2
    ring = np.zeros((2, half, s * n), dtype=diagonal.dtype)
    chosen = np.zeros((2, half, s * rows.size), dtype=diagonal.dtype)
    for i in range(s):
        ring[0, 0, i * n] = 1.0
        for j in range(n):
            ring[1, 0, i * n + j] = 0.5 * mask[i, j] * matrix[0, j]
        ring[1, 0, i * n] += 0.5 * diagonal[i, 0]
    for c in range(-(-terms // CHUNK)):
        for k in range(max(2, c * CHUNK), min(terms, (c + 1) * CHUNK)):
            now = ring[(k - 1) % 2, ((k - 1) // 2) % half].reshape(s, n)
            before = ring[k % 2, (k // 2 - 1) % half].reshape(s, n)
            product = ring[k % 2, (k // 2) % half].reshape(s, n)
            np.dot(now, matrix, product)
            _advance(product, diagonal, mask, now, before)
        for parity in range(2):
            part = np.ascontiguousarray(weights[parity][:, c * half : (c + 1) * half])
            if rows.size == n:
                parts[parity] += np.dot(part, ring[parity])
            else:
                _pick(ring[parity], rows, n, chosen[parity])
                parts[parity] += np.dot(part, chosen[parity])
    last: Array = ring[(terms - 1) % 2, ((terms - 1) // 2) % half]
    return last


@numba.njit(cache=True)
def scatter(parts: Array, phase: Array, rows: NDArray[np.int64], first_column: int, columns: int, out: Array) -> None:
    """out[:, rows, first_column:] ← phase_j (even sum + i odd sum); parts (2, J, s m), phase (J,), out (J, M, S)."""
    for t in range(parts.shape[1]):
        for i in range(columns):
            for j in range(rows.size):
                k = i * rows.size + j
                out[t, rows[j], first_column + i] = phase[t] * (parts[0, t, k] + 1j * parts[1, t, k])


def sum_series(
    slab: Slab,
    block: Block,
    spectrum: Spectrum,
    coefficients: Series,
    weights: Array,
    *,
    rows: NDArray[np.int64] | None,
    kind: np.dtype[Any],
) -> tuple[Array, float]:
    """((2, J, s m) sums of even and odd terms of ``rows`` (all when None), largest element of the last term).

    weights: ``coefficients.alternating(CHUNK, kind)``.
    """
    matrix, diagonal, mask = block_operator(slab, block, spectrum, kind=kind)
    s, n = diagonal.shape
    index = np.arange(n) if rows is None else rows
    parts = np.zeros((2, weights.shape[1], s * index.size), dtype=kind)
    last = _run(matrix, diagonal, mask, weights, index, coefficients.terms, parts)
    return parts, float(np.abs(last).max())


def with_phase(parts: Array, phase: NDArray[np.complex128], shape: tuple[int, ...]) -> Array:
    """(J, *shape) complex from the sums of the even and odd terms."""
    kind = np.dtype(np.complex64 if parts.real.dtype == np.float32 else np.complex128)
    total = np.empty(parts.shape[1:], dtype=kind)
    if parts.dtype.kind == "c":
        total[:] = parts[0] + 1j * parts[1]
    else:
        total.real, total.imag = parts[0], parts[1]
    total *= phase.astype(kind)[:, None]
    return total.reshape(-1, *shape)


def block_derivatives(
    slab: Slab, block: Block, spectrum: Spectrum, du: Array, dd: Floats, *, single: bool
) -> tuple[Array, Array]:
    """(∂(2X) of the matrix (P, n, n) transposed, of the diagonal (Q, s, n) masked) for one block."""
    kind = kind_of(slab, single=single)
    factor = 2.0 / spectrum.radius
    square = np.ix_(np.arange(du.shape[0]), block.rows, block.rows)
    dmatrix = np.ascontiguousarray(np.swapaxes(factor * du[square], 1, 2).astype(kind))
    wide = np.ix_(np.arange(dd.shape[0]), block.rows, block.columns)
    return dmatrix, np.ascontiguousarray(np.swapaxes(factor * dd[wide], 1, 2).astype(kind))
