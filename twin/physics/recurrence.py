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
from twin.physics.slab import Block, Slab, block_diagonal, block_matrix

Array = NDArray[Any]
CHUNK = 16


@numba.njit(cache=True, fastmath=True)
def advance(product: Array, diagonal: Array, mask: Array, now: Array, before: Array) -> None:
    """product ← mask · product + diagonal · now − before, all (s, n)."""
    for i in range(product.shape[0]):
        for j in range(product.shape[1]):
            product[i, j] = mask[i, j] * product[i, j] + diagonal[i, j] * now[i, j] - before[i, j]


@numba.njit(cache=True, fastmath=True)
def advance_sources(product: Array, source: Array, diagonal: Array, mask: Array, now: Array, before: Array) -> None:
    """As :func:`advance` for (p, s, n) with sources (p, s, n) added under the mask."""
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


def block_operator(slab: Slab, block: Block, spectrum: Spectrum, *, single: bool) -> tuple[Array, Array, Array]:
    """(matrix (n, n), diagonal (s, n), mask (s, n)) of 2X = 2 (A − shift) / radius."""
    kind = kind_of(slab, single=single)
    factor = 2.0 / spectrum.radius
    shift = spectrum.shift if kind.kind == "c" else spectrum.centre
    diagonal, mask = block_diagonal(slab, block, factor=factor, shift=shift, kind=kind)
    return block_matrix(slab, block, factor=factor, kind=kind), diagonal, mask


class Sum:
    """Σ_k i^k r_kj X_k over chunks of terms, for all thicknesses j by one matrix product a chunk.

    Even and odd terms are summed apart, which for real X_k are the real and the imaginary part.
    """

    def __init__(self, *, coefficients: Series, size: int, kind: np.dtype[Any]) -> None:
        self._series = coefficients
        real = np.dtype(np.float32 if kind in (np.dtype(np.float32), np.dtype(np.complex64)) else np.float64)
        sign = np.array([1.0, 1.0, -1.0, -1.0])[np.arange(coefficients.terms) % 4]
        self._weights = np.ascontiguousarray((sign[:, None] * coefficients.real).T.astype(real))
        self._parts = np.zeros((2, coefficients.real.shape[1], size), dtype=kind)
        self._complex = np.dtype(np.complex64 if real == np.float32 else np.complex128)

    def add(self, start: int, terms: Array) -> None:
        """Add terms (c, size) that are number ``start`` (even) and following."""
        flat = terms.reshape(len(terms), -1)
        for parity in (0, 1):
            chosen = flat[parity::2]
            if len(chosen):
                weights = self._weights[:, start + parity : start + len(terms) : 2]
                if chosen.dtype.kind == "c":
                    weights = weights.astype(chosen.dtype)
                self._parts[parity] += weights @ chosen

    def value(self, shape: tuple[int, ...]) -> Array:
        """(J, *shape) sum with its phases."""
        total = np.empty(self._parts.shape[1:], dtype=self._complex)
        if self._parts.dtype.kind == "c":
            total[:] = self._parts[0] + 1j * self._parts[1]
        else:
            total.real, total.imag = self._parts[0], self._parts[1]
        total *= self._series.phase.astype(self._complex)[:, None]
        return total.reshape(-1, *shape)


def sum_series(
    slab: Slab,
    block: Block,
    spectrum: Spectrum,
    coefficients: Series,
    *,
    rows: NDArray[np.int64] | None,
    single: bool,
) -> tuple[Array, float]:
    """((J, s, m) amplitudes of ``rows`` (all when None), largest element of the last term)."""
    matrix, diagonal, mask = block_operator(slab, block, spectrum, single=single)
    s, n = diagonal.shape
    chunk = np.empty((CHUNK + 2, s, n), dtype=diagonal.dtype)
    chunk[0] = 0.0
    chunk[0, :, 0] = 1.0
    chunk[1] = 0.5 * mask * matrix[0]
    chunk[1, :, 0] += 0.5 * diagonal[:, 0]
    total = Sum(coefficients=coefficients, size=s * (n if rows is None else rows.size), kind=diagonal.dtype)
    done, terms = 0, coefficients.terms
    while True:
        wanted = min(CHUNK, terms - done)
        for k in range(2, min(CHUNK + 2, terms - done)):
            np.matmul(chunk[k - 1], matrix, out=chunk[k])
            advance(chunk[k], diagonal, mask, chunk[k - 1], chunk[k - 2])
        part = chunk[:wanted]
        total.add(done, part if rows is None else part[:, :, rows])
        done += wanted
        if done >= terms:
            break
        chunk[:2] = chunk[CHUNK:]
    size = float(np.abs(chunk[wanted - 1]).max())
    return total.value((s, n if rows is None else rows.size)), size


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
