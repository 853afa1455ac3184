"""What the recurrence of derivatives works with: sources of each step, changes of the operator, sums of terms."""

from __future__ import annotations

from typing import Any

import numba
import numpy as np
from numpy.typing import NDArray

from twin.physics.blocks import Block, kind_of
from twin.physics.chebyshev import Series, Spectrum
from twin.physics.lattice import Floats
from twin.physics.slab import Slab

Array = NDArray[Any]


@numba.njit(cache=True, fastmath=True)
def advance_sources(product: Array, source: Array, diagonal: Array, mask: Array, now: Array, before: Array) -> None:
    """product ← mask · (product + source) + diagonal · now − before; (p, s, n), mask and diagonal (s, n)."""
    for k in range(product.shape[0]):
        for i in range(product.shape[1]):
            for j in range(product.shape[2]):
                product[k, i, j] = (
                    mask[i, j] * (product[k, i, j] + source[k, i, j]) + diagonal[i, j] * now[k, i, j] - before[k, i, j]
                )


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
    kind = kind_of(slab.matrix, single=single)
    factor = 2.0 / spectrum.radius
    square = np.ix_(np.arange(du.shape[0]), block.rows, block.rows)
    dmatrix = np.ascontiguousarray(np.swapaxes(factor * du[square], 1, 2).astype(kind))
    wide = np.ix_(np.arange(dd.shape[0]), block.rows, block.columns)
    return dmatrix, np.ascontiguousarray(np.swapaxes(factor * dd[wide], 1, 2).astype(kind))
