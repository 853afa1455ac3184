"""Neighbouring orientations in blocks that share their beams, and the arrays that a block works on.

OpenBLAS multiplies small real matrices (up to 1e6 multiplications) without packing them first, and at up to twice the
usual speed when every row starts on a cache line. So the arrays of a block are padded and aligned to 64 bytes, and
lie in memory that the blocks of a frame use one after another.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numba
import numpy as np
from numpy.typing import NDArray

from twin.physics.chebyshev import Spectrum
from twin.physics.lattice import Floats
from twin.physics.slab import Slab

Array = NDArray[Any]
CHUNK = 16
_LINE = 64  # bytes
_SIZES = np.array([1, 2, 4, 8, 16, 32, 64])
_PACKED = {"float32": 23.0, "float64": 15.0}  # columns' worth of packing
_UNPACKED = 1_000_000  # multiplications
_NO_WEIGHT = np.empty((0, 0))
_NO_MASK = np.empty((0, 0), dtype=bool)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Block:
    """Neighbouring orientations that are propagated together on the union of their active beams."""

    columns: NDArray[np.int64]
    rows: NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Picked:
    """The wanted beams of each block b: at ends[b]…ends[b + 1], where they are in the block and in the result."""

    ends: NDArray[np.int64]
    local: NDArray[np.int64]
    place: NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Workspace:
    """Flat real arrays for the largest block of a frame.

    matrix (n²), diagonal and mask (s n), ring of CHUNK terms (r s n). r is 2 where states are complex: real parts in
    the first s rows, imaginary ones below; then imaginary (n²) is that of the matrix and product (2 s n) a second
    result.
    """

    matrix: Array
    imaginary: Array
    diagonal: Array
    mask: Array
    product: Array
    ring: Array


def blocks(slab: Slab, *, terms: int = 40, width: int = 1, single: bool = False) -> list[Block]:
    """Split the orientations into contiguous blocks.

    Without a mask: at most 64 columns at a time. With one, the size (1…64) of least cost: few columns have few
    inactive beams, many have better matrix products. ``width``: states side by side for each orientation; ``terms``:
    of the series.
    """
    n, s = slab.diagonal.shape
    active = slab.active
    kind = kind_of(slab.matrix, single=single)
    line, states = padded(1, kind.type(0).real.dtype), 2 if kind.kind == "c" else 1
    if active is None:
        fits = _UNPACKED // (states * (-(-n // line) * line) ** 2)  # so many have products without packing
        pieces = -(-s // (int(fits) if width == 1 and fits >= 8 else 64))
        return [Block(columns=part, rows=np.arange(n)) for part in np.array_split(np.arange(s), pieces)]
    sizes = _SIZES[: int(np.searchsorted(_SIZES, s)) + 1]
    sizes = sizes[(sizes >= 4) | (s < 8)]
    packed = _PACKED["float32" if single else "float64"]
    costs = _costs(active, sizes, terms, width * states, line, packed)
    best = int(sizes[int(np.argmin(costs))])
    rows, ends = _unions(active, best)
    columns = np.arange(s)
    return [
        Block(columns=columns[best * i : best * (i + 1)], rows=rows[ends[i] : ends[i + 1]])
        for i in range(len(ends) - 1)
    ]


def kind_of(matrix: Array, *, single: bool) -> np.dtype[Any]:
    """Type of the states: real for a real matrix."""
    if np.iscomplexobj(matrix):
        return np.dtype(np.complex64 if single else np.complex128)
    return np.dtype(np.float32 if single else np.float64)


@numba.njit(cache=True)
def _costs(
    active: NDArray[np.bool_], sizes: NDArray[np.int64], terms: int, width: int, line: int, packed: float
) -> Floats:
    """Relative time of the frame for each size of its blocks, in multiplications of the best matrix product.

    Measured on (s, n) by (n, n) products: they cost like s + 0.5 columns while small, else like s + ``packed``, since
    the matrix is then packed first. Gathering a matrix is like 35 columns of one term, a block takes 4 µs. ``line``:
    elements to a cache line. Each derivative brings a matrix of its own, which is fetched again at every step: like 4
    more columns.
    """
    n, s = active.shape
    counts = np.zeros((sizes.size, -(-s // sizes[0])), dtype=np.int64)
    used = np.zeros(s + 1, dtype=np.bool_)
    for i in range(n):
        length, size = s, 1
        used[:s] = active[i]
        for a in range(sizes.size):
            while size < sizes[a]:  # two neighbours to one
                used[length] = False
                length, size = (length + 1) // 2, 2 * size
                for b in range(length):
                    used[b] = used[2 * b] | used[2 * b + 1]
            for b in range(length):
                counts[a, b] += used[b]
    total = np.zeros(sizes.size)
    for a in range(sizes.size):
        for b in range(-(-s // sizes[a])):
            square = float(-(-counts[a, b] // line) * line) ** 2
            wide = float(min(sizes[a], s - b * sizes[a]) * width)
            fetch = 0.5 if square * wide <= _UNPACKED else packed
            total[a] += square * (wide + fetch + 4.0 * (width - 1) + 35.0 / terms) + 3e5 / terms
    return total


@numba.njit(cache=True)
def _unions(active: NDArray[np.bool_], size: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Rows that are active in some column of each block of ``size``, one block after another, and where each begins."""
    n, s = active.shape
    count = -(-s // size)
    used = np.zeros((count, n), dtype=np.bool_)
    for i in range(n):
        for b in range(count):
            for j in range(b * size, min(s, (b + 1) * size)):
                if active[i, j]:
                    used[b, i] = True
                    break
    rows, ends, k = np.empty(n * count, dtype=np.int64), np.zeros(count + 1, dtype=np.int64), 0
    for b in range(count):
        for i in range(n):
            rows[k] = i
            k += used[b, i]
        ends[b + 1] = k
    return rows[:k], ends


def padded(count: int, kind: np.dtype[Any]) -> int:
    """The next count of elements that fills whole cache lines."""
    multiple = _LINE // kind.itemsize
    return -(-count // multiple) * multiple


def aligned(size: int, kind: np.dtype[Any]) -> Array:
    """Memory (size,) that starts on a cache line."""
    raw = np.empty(size * kind.itemsize + _LINE, dtype=np.uint8)
    start = -raw.ctypes.data % _LINE
    return raw[start : start + size * kind.itemsize].view(kind)


def workspace(parts: Sequence[Block], kind: np.dtype[Any]) -> Workspace:
    """Memory for the largest of the blocks; ``kind``: of the states."""
    real, twice = kind.type(0).real.dtype, kind.kind == "c"
    n = [padded(b.rows.size, real) for b in parts]
    states = max(size * b.columns.size for size, b in zip(n, parts, strict=True))
    return Workspace(
        matrix=aligned(max(n) ** 2, real),
        imaginary=aligned(max(n) ** 2 if twice else 0, real),
        diagonal=aligned(states, real),
        mask=aligned(states, real),
        product=aligned(2 * states if twice else 0, real),
        ring=aligned((2 if twice else 1) * CHUNK * states, real),
    )


def operator_arrays(slab: Slab) -> tuple[Array, Floats, Floats, NDArray[np.bool_]]:
    """Transposed matrix, diagonal, weight and active of a slab; the last two may be empty: ones, everything."""
    return (
        slab.transposed,
        slab.diagonal,
        _NO_WEIGHT if slab.weight is None else slab.weight,
        _NO_MASK if slab.active is None else slab.active,
    )


def block_operator(slab: Slab, block: Block, spectrum: Spectrum, *, kind: np.dtype[Any]) -> tuple[Array, Array, Array]:
    """(matrix (n, n), diagonal (s, n), weight (s, n)) of 2X = 2 (A − shift) / radius; states are rows."""
    n, s = block.rows.size, block.columns.size
    matrix = np.empty((n, n), dtype=kind)
    diagonal, mask = np.empty((s, n), dtype=kind), np.empty((s, n), dtype=matrix.real.dtype)
    fill_operator(
        *operator_arrays(slab),
        block.rows,
        int(block.columns[0]),
        matrix.real.dtype.type(2.0 / spectrum.radius),
        spectrum.shift if kind.kind == "c" else spectrum.centre,
        matrix,
        diagonal,
        mask,
    )
    return matrix, diagonal, mask


@numba.njit(cache=True)
def fill_matrix(source: Array, rows: NDArray[np.int64], factor: float, matrix: Array) -> None:
    """matrix[i, j] = factor · source[rows[i], rows[j]], and 0 in the padding."""
    n = rows.size
    for i in range(n):
        line, out = source[rows[i]], matrix[i]
        for j in range(n):
            out[j] = factor * line[np.uint32(rows[j])]
        out[n:] = 0.0
    matrix[n:] = 0.0


@numba.njit(cache=True)
def fill_operator(
    source: Array,
    values: Floats,
    weight: Floats,
    active: NDArray[np.bool_],
    rows: NDArray[np.int64],
    first: int,
    factor: float,
    shift: complex | float,
    matrix: Array,
    diagonal: Array,
    mask: Array,
) -> None:
    """matrix[i, j] = factor · source[rows[i], rows[j]]; diagonal = factor · (values − shift), mask = weight.

    ``weight`` and ``active`` may be empty: ones, everything. Beams that are not active, and the padding, are 0.
    """
    n, m, s = rows.size, matrix.shape[0], diagonal.shape[0]
    fill_matrix(source, rows, factor, matrix)
    for i in range(n):
        for c in range(s):
            used = active.size == 0 or active[rows[i], first + c]
            diagonal[c, i] = factor * (values[rows[i], first + c] - shift) if used else 0.0
            mask[c, i] = 0.0 if not used else (1.0 if weight.size == 0 else weight[rows[i], first + c])
    diagonal[:, n:m] = 0.0
    mask[:, n:m] = 0.0


def local_rows(block: Block, index: NDArray[np.int64], n: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Where the wanted ones of N beams are inside a block, and which of ``index`` they are."""
    place = np.full(n, -1)
    place[block.rows] = np.arange(block.rows.size)
    local = place[index]
    inside = np.flatnonzero(local >= 0)
    return local[inside], inside


def pick(parts: Sequence[Block], rows: NDArray[np.int64] | None, n: int) -> Picked:
    """Wanted beams ``rows`` (all N when None) of every block."""
    if rows is None:
        count = np.arange(n)
        pairs = [(count[: b.rows.size], b.rows) for b in parts]
    else:
        pairs = [local_rows(b, rows, n) for b in parts]
    return Picked(
        ends=np.cumsum([0, *(local.size for local, _ in pairs)]),
        local=np.concatenate([local for local, _ in pairs]),
        place=np.concatenate([place for _, place in pairs]),
    )


def block_root(slab: Slab, block: Block, rows: NDArray[np.int64]) -> Floats | None:
    """(s, m) M of the chosen rows of a block: amplitudes divided by it are flux amplitudes. None for ones."""
    if slab.root is None:
        return None
    cut = slab.root[:, block.columns[0] : block.columns[-1] + 1]
    return np.asarray(np.take(cut, block.rows[rows], axis=0).T)
