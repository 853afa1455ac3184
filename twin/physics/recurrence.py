"""The recurrence T_{k+1} = 2X T_k − T_{k−1} on blocks of states, and the sum of its terms.

A block holds states as rows, (s, n): one matrix product for all orientations, then one pass for their diagonals.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numba
import numpy as np
from numpy.typing import NDArray

from twin.physics.blocks import CHUNK, Block, Picked, Workspace, fill_operator, kind_of, operator_arrays, padded
from twin.physics.chebyshev import Series, Spectrum
from twin.physics.lattice import Floats
from twin.physics.slab import Slab

Array = NDArray[Any]
_NO_ROOT = np.empty((0, 0))


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
        for parity in range(2):
            part = np.ascontiguousarray(weights[parity][:, c * half : (c + 1) * half])
            if everything:
                parts[parity] += np.dot(part, ring[parity])
            else:
                _pick(ring[parity], rows, n, chosen[parity])
                parts[parity] += np.dot(part, chosen[parity])
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
    out: Array,
) -> None:
    """out[:, place, first:] ← phase_j (even sum + i odd sum) / root; parts (2, J, s m), m ≥ p.

    phase (J,); root (N, S), or empty for ones; rows (p,) of the N beams; place (p,) of them in out (J, M, S).
    """
    width = parts.shape[2] // columns
    for t in range(parts.shape[1]):
        for j in range(rows.size):
            for i in range(columns):
                k = i * width + j
                scale = 1.0 if root.size == 0 else 1.0 / root[rows[j], first + i]
                out[t, place[j], first + i] = scale * phase[t] * (parts[0, t, k] + 1j * parts[1, t, k])


@numba.njit(cache=True)
def _solve(
    operator: tuple[Array, Floats, Floats, NDArray[np.bool_]],
    root: Floats,
    listed: tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]],
    wanted: tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]],
    scale: float,
    shift: complex | float,
    weights: Array,
    phase: Array,
    terms: int,
    space: tuple[Array, Array, Array, Array],
    line: int,
    todo: NDArray[np.int64],
    sizes: Floats,
    out: Array,
) -> None:
    """Blocks ``todo`` one after another, into ``out``; ``sizes``: the largest element of each one's last term.

    See :func:`solve_blocks`; ``line``: elements to a cache line.
    """
    source, values, weight, active = operator
    columns, ends, all_rows = listed
    picks, picked, places = wanted
    memory, long_diagonal, long_mask, ring = space
    for b in todo:
        rows = all_rows[ends[b] : ends[b + 1]]
        first, s = columns[b], columns[b + 1] - columns[b]
        n = -(-rows.size // line) * line
        matrix = memory[: n * n].reshape(n, n)
        diagonal, mask = long_diagonal[: s * n].reshape(s, n), long_mask[: s * n].reshape(s, n)
        fill_operator(source, values, weight, active, rows, first, scale, shift, matrix, diagonal, mask)
        local, place = picked[picks[b] : picks[b + 1]], places[picks[b] : picks[b + 1]]
        everything = local.size == rows.size
        parts = np.zeros((2, phase.size, s * (n if everything else local.size)), dtype=matrix.dtype)
        last = _run(matrix, diagonal, mask, ring, weights, local, everything, terms, parts)
        _scatter(parts, phase, root, rows[local], place, first, s, out)
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

    weights: ``coefficients.alternating(CHUNK, kind)``. A largest element beyond the growth that the spectrum allows
    says that the bounds were too narrow.
    """
    kind = space.matrix.dtype
    edges = np.array([0, *(b.columns[-1] + 1 for b in parts)])
    ends = np.cumsum([0, *(b.rows.size for b in parts)])
    sizes = np.zeros(len(parts))
    _solve(
        operator_arrays(slab),
        _NO_ROOT if slab.root is None else slab.root,
        (edges, ends, np.concatenate([b.rows for b in parts])),
        (picked.ends, picked.local, picked.place),
        weights.real.dtype.type(2.0 / spectrum.radius),
        spectrum.shift if kind.kind == "c" else spectrum.centre,
        weights,
        coefficients.phase,
        coefficients.terms,
        (space.matrix, space.diagonal, space.mask, space.ring),
        padded(1, kind),
        todo,
        sizes,
        out,
    )
    return sizes


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
