"""The operator of a frame: one off-diagonal matrix, a diagonal for each orientation, and how to cut it into blocks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numba
import numpy as np
from numpy.typing import ArrayLike, NDArray

from twin.physics.chebyshev import Spectrum, hermitian_bounds, spectrum_of
from twin.physics.lattice import Floats

Array = NDArray[Any]
_NO_WEIGHT = np.empty((0, 0))
_NO_MASK = np.empty((0, 0), dtype=bool)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Slab:
    """iτ (W_s U + D_s) is the exponent at orientation s, on its active beams.

    With surface factors M = diag(1 + g_n/K_n)^(−1/2) the flux amplitudes ψ obey M (2K s + U) M. The amplitudes Mψ are
    propagated here: they obey M² (2K s + U), so that U stays shared. W = M² K̄_n/K_n, D = 2K s W.

    matrix: (N, N) U, real and symmetric when it can be, else complex; transposed: its transpose. diagonal: (N, S) D in
    Å⁻². weight, root: (N, S) W and M, None for ones. active: (N, S) bool or None. spectra: bounds for all orientations,
    in the order of trial.
    unit: τ/t = π / K̄_n in Å.
    """

    matrix: Array
    transposed: Array
    diagonal: Floats
    weight: Floats | None
    root: Floats | None
    active: NDArray[np.bool_] | None
    spectra: tuple[Spectrum, ...]
    unit: float


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Block:
    """Neighbouring orientations that are propagated together on the union of their active beams."""

    columns: NDArray[np.int64]
    rows: NDArray[np.int64]
    masked: bool


def prepare_slab(
    *,
    potential: ArrayLike,
    excitation_error: ArrayLike,
    wavenumber_per_angstrom: float,
    normal_cosine_ratio: ArrayLike | None = None,
    normal_wavenumber_per_angstrom: ArrayLike | None = None,
    active: ArrayLike | None = None,
) -> Slab:
    """Build the operator. See :func:`twin.physics.propagation.propagate` for the arguments."""
    u = np.asarray(potential)
    u = u.astype(np.complex128 if np.iscomplexobj(u) else np.float64, copy=False)
    s = np.atleast_2d(np.asarray(excitation_error, dtype=np.float64))
    n = u.shape[0]
    if u.shape != (n, n) or s.shape[0] != n:
        raise ValueError(f"potential {u.shape} must be square and match the rows of excitation_error {s.shape}")
    if not np.isfinite(u.sum() + s.sum()):
        raise ValueError("potential and excitation_error must be finite")
    if not np.iscomplexobj(u) and not np.allclose(u[0], u[:, 0], rtol=1e-6, atol=1e-5 * np.abs(u[0]).max()):
        raise ValueError("a real potential must be symmetric: U_{g-h} = U_{h-g}")
    weight, root, mean = _surface(normal_cosine_ratio, normal_wavenumber_per_angstrom, s.shape, wavenumber_per_angstrom)
    u, hermitian, absorption = _split(u)
    diagonal = 2.0 * wavenumber_per_angstrom * s
    if weight is not None:
        diagonal = diagonal * weight
        most = float(weight.max())
        absorption = (min(absorption[0], most * absorption[0]), max(absorption[1], most * absorption[1]))
    mask = None if active is None else _with_direct_beam(np.asarray(active, dtype=bool))
    return Slab(
        matrix=u,
        transposed=np.ascontiguousarray(u.T if np.iscomplexobj(u) else u),
        diagonal=diagonal,
        weight=weight,
        root=root,
        active=mask,
        spectra=_spectra(hermitian, diagonal, weight, mask, absorption),
        unit=float(np.pi / mean),
    )


def _surface(
    ratio: ArrayLike | None, normal: ArrayLike | None, shape: tuple[int, int], wavenumber: float
) -> tuple[Floats | None, Floats | None, float]:
    """(W (N, S), M (N, S), mean K_n); None, None, K without a tilted surface."""
    k_n = np.asarray(wavenumber if normal is None else normal, dtype=np.float64).reshape(1, -1)
    mean = float(k_n.mean())
    if ratio is None and (k_n.size == 1 or np.ptp(k_n) == 0.0):
        return None, None, mean
    values = np.zeros((shape[0], 1)) if ratio is None else np.asarray(ratio, dtype=np.float64)
    values = values[:, None] if values.ndim == 1 else values
    if np.any(values <= -1.0):
        raise ValueError("normal_cosine_ratio must exceed -1: a beam would leave through the entrance face")
    root = np.broadcast_to(1.0 / np.sqrt(1.0 + values), shape)
    return root**2 * (mean / k_n), root, mean


def _split(u: Array) -> tuple[Array, Array, tuple[float, float]]:
    """(matrix, its Hermitian part, bounds of the absorptive part), real wherever nothing is lost by it."""
    if not np.iscomplexobj(u):
        return u, u, (0.0, 0.0)
    size = float(np.abs(u).max())
    if float(np.abs(u.imag).max()) <= 1e-13 * size:
        real = np.ascontiguousarray(u.real)
        return real, real, (0.0, 0.0)
    anti = (u - u.conj().T) / 2j
    if float(np.abs(anti).max()) <= 1e-13 * size:
        return u, u, (0.0, 0.0)
    return u, _real_if_close((u + u.conj().T) / 2, size), hermitian_bounds(_real_if_close(anti, size))


def _spectra(
    hermitian: Array,
    diagonal: Floats,
    weight: Floats | None,
    active: NDArray[np.bool_] | None,
    absorption: tuple[float, float],
) -> tuple[Spectrum, ...]:
    """Bounds for all orientations, the one to try first and wider ones.

    Two orientations with the most extreme diagonals are examined themselves and their extremes widened by 6 %: far
    narrower than the sum of the bounds of the parts. The recurrence shows if another orientation were outside.
    """
    d = diagonal if active is None else np.where(active, diagonal, 0.0)
    samples = np.unique([int(d.max(axis=0).argmax()), int(d.min(axis=0).argmin())])
    low, high = np.inf, -np.inf
    for j in samples:
        keep = np.arange(len(hermitian)) if active is None else np.flatnonzero(active[:, j])
        scale = np.ones(keep.size) if weight is None else np.sqrt(weight[keep, j])
        part = np.empty((keep.size, keep.size), dtype=hermitian.dtype)
        _gather_scaled(hermitian, keep, scale, diagonal[keep, j], part)
        one, two = hermitian_bounds(part)
        low, high = min(low, one), max(high, two)
    margin = 0.0 if samples.size == d.shape[1] else 0.03 * (high - low)
    first = spectrum_of(real=(low - margin, high + margin), absorption=absorption)
    return first, first.widened(1.3), first.widened(2.5), first.widened(10.0)


def blocks(slab: Slab, *, terms: int = 40, width: int = 1) -> list[Block]:
    """Split the orientations into contiguous blocks.

    Without a mask: at most 64 columns at a time. With one, the size (4…64) of least cost: few columns have few
    inactive beams, many have better matrix products. ``width``: states side by side for each orientation; ``terms``:
    of the series.
    """
    n, s = slab.diagonal.shape
    active = slab.active
    if active is None:
        everything = np.arange(n)
        return [Block(columns=np.arange(i, min(i + 64, s)), rows=everything, masked=False) for i in range(0, s, 64)]
    union, size = active, 1
    best, best_union, least = 1, union, np.inf
    while size < 64 and (size < s or size == 1):
        size *= 2
        if union.shape[1] % 2:
            union = np.concatenate([union, np.zeros((n, 1), dtype=bool)], axis=1)
        union = union[:, ::2] | union[:, 1::2]
        if size == 2 and s > 2:
            continue
        columns = np.minimum(size, s - size * np.arange(union.shape[1]))
        cost = float(_cost(union.sum(axis=0), columns, terms, width).sum())
        if cost < least:
            best, best_union, least = size, union, cost
    return [
        Block(
            columns=np.arange(best * i, min(best * (i + 1), s)),
            rows=np.flatnonzero(best_union[:, i]),
            masked=bool(min(best, s - best * i) > 1),
        )
        for i in range(best_union.shape[1])
    ]


def _cost(rows: NDArray[np.int64], columns: NDArray[np.int64], terms: int, width: int) -> Floats:
    """Relative time of blocks: products of (s, n) and (n, n) matrices, which cost like s + 1.2 columns while they are

    small and like s + 9 beyond about 1e6 multiplications (OpenBLAS then packs the matrix), and 0.1 ms of overhead. Each
    derivative brings a matrix of its own, which is fetched again at every step: like 4 more columns.
    """
    wide = columns * float(width)
    square = rows.astype(np.float64) ** 2
    fetch = np.where(square * wide <= 1e6, 1.2, 9.0) + 4.0 * (width - 1)
    return np.asarray(square * (wide + fetch) + 3e6 / terms)


@numba.njit(cache=True)
def _gather(matrix: Array, rows: NDArray[np.int64], factor: float, out: Array) -> None:
    """out[i, j] = factor · matrix[rows[i], rows[j]]."""
    for i in range(rows.size):
        source = matrix[rows[i]]
        for j in range(rows.size):
            out[i, j] = factor * source[rows[j]]


@numba.njit(cache=True)
def _gather_scaled(matrix: Array, rows: NDArray[np.int64], scale: Floats, diagonal: Floats, out: Array) -> None:
    """out = diag(scale) matrix[rows, rows] diag(scale) + diag(diagonal)."""
    for i in range(rows.size):
        source = matrix[rows[i]]
        for j in range(rows.size):
            out[i, j] = scale[i] * scale[j] * source[rows[j]]
        out[i, i] += diagonal[i]


@numba.njit(cache=True)
def _block_diagonal(
    values: Floats,
    weight: Floats,
    active: NDArray[np.bool_],
    rows: NDArray[np.int64],
    first: int,
    factor: float,
    shift: complex | float,
    diagonal: Array,
    mask: Array,
) -> None:
    """diagonal (s, n) ← factor · (values − shift) where active, else 0; mask (s, n) ← weight where active, else 0.

    ``weight`` and ``active`` may be empty: ones, everything.
    """
    for i in range(diagonal.shape[0]):
        for j in range(rows.size):
            row, column = rows[j], first + i
            if active.size == 0 or active[row, column]:
                diagonal[i, j] = factor * (values[row, column] - shift)
                mask[i, j] = 1.0 if weight.size == 0 else weight[row, column]
            else:
                diagonal[i, j] = 0.0
                mask[i, j] = 0.0


def block_operator(slab: Slab, block: Block, spectrum: Spectrum, *, kind: np.dtype[Any]) -> tuple[Array, Array, Array]:
    """(matrix (n, n), diagonal (s, n), weight (s, n)) of 2X = 2 (A − shift) / radius; states are rows."""
    n, s = block.rows.size, block.columns.size
    factor = 2.0 / spectrum.radius
    matrix = np.empty((n, n), dtype=kind)
    _gather(slab.transposed, block.rows, factor, matrix)
    diagonal, mask = np.empty((s, n), dtype=kind), np.empty((s, n), dtype=matrix.real.dtype)
    _block_diagonal(
        slab.diagonal,
        _NO_WEIGHT if slab.weight is None else slab.weight,
        _NO_MASK if slab.active is None or not block.masked else slab.active,
        block.rows,
        int(block.columns[0]),
        factor,
        spectrum.shift if kind.kind == "c" else spectrum.centre,
        diagonal,
        mask,
    )
    return matrix, diagonal, mask


def block_root(slab: Slab, block: Block, rows: NDArray[np.int64]) -> Floats | None:
    """(s, m) M of the chosen rows of a block: amplitudes divided by it are flux amplitudes. None for ones."""
    return None if slab.root is None else _cut(slab.root, block)[:, rows]


def _cut(values: Array, block: Block) -> Array:
    """(s, n) part of an (N, S) array."""
    return np.take(values[:, block.columns[0] : block.columns[-1] + 1], block.rows, axis=0).T


def _real_if_close(matrix: Array, size: float) -> Array:
    if np.iscomplexobj(matrix) and float(np.abs(matrix.imag).max()) <= 1e-13 * size:
        return np.ascontiguousarray(matrix.real)
    return matrix


def _with_direct_beam(active: NDArray[np.bool_]) -> NDArray[np.bool_]:
    mask = active.copy()
    mask[0] = True
    return mask
