"""Propagation of the direct beam through a slab: one column of the scattering matrix for many orientations at once.

dψ/dz = (iπ/K_n) A ψ, ψ(0) = e_0, A_gg = 2K s_g / (1 + g_n/K_n), A_gh = U_{g−h} / √((1 + g_n/K_n)(1 + h_n/K_n))
(Palatinus, Petříček & Corrêa, Acta Cryst. A71 (2015) 235). Row 0 is the direct beam. All orientations share the
off-diagonal matrix, so each step of the Chebyshev recurrence is one matrix–matrix product, and one recurrence serves
every thickness. |ψ_g|² is the flux through the exit face in units of the incident flux: Σ|ψ_g|² = 1 without
absorption.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray

from twin.physics.chebyshev import Block, Complex, Spectrum, blocks, coefficients, hermitian_bounds, spectrum_of
from twin.physics.lattice import Floats

_CHUNK = 16
Array = NDArray[Any]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Slab:
    """The symmetrised operator of a frame, ready to be propagated: A = diag(diagonal[:, s]) + matrix.

    matrix: (N, N) real when it can be, else complex. diagonal: (N, S) Å⁻². bounds, absorption_bounds: of the
    Hermitian and of the absorptive part of the matrix. active: (N, S) bool or None. unit: π / K_n in Å.
    """

    matrix: Array
    diagonal: Floats
    active: NDArray[np.bool_] | None
    bounds: tuple[float, float]
    absorption_bounds: tuple[float, float]
    unit: float
    scaling: Floats  # (N,) 1 / √(1 + g_n/K_n)

    def spectrum(self, block: Block) -> Spectrum:
        d = self.diagonal[np.ix_(block.rows, block.columns)]
        if block.masked and self.active is not None:
            d = d[self.active[np.ix_(block.rows, block.columns)]]
        return spectrum_of(
            off_diagonal=self.bounds,
            diagonal=(float(d.min()), float(d.max())),
            absorption=self.absorption_bounds,
        )


def prepare_slab(
    *,
    potential: ArrayLike,
    excitation_error: ArrayLike,
    wavenumber_per_angstrom: float,
    normal_cosine_ratio: ArrayLike | None = None,
    normal_wavenumber_per_angstrom: float | None = None,
    active: ArrayLike | None = None,
) -> Slab:
    """Build the operator. See :func:`propagate` for the arguments."""
    u = np.asarray(potential)
    s = np.atleast_2d(np.asarray(excitation_error, dtype=np.float64))
    n = u.shape[0]
    if u.shape != (n, n) or s.shape[0] != n:
        raise ValueError(f"potential {u.shape} must be square and match the rows of excitation_error {s.shape}")
    ratio = np.zeros(n) if normal_cosine_ratio is None else np.asarray(normal_cosine_ratio, dtype=np.float64)
    if np.any(ratio <= -1.0):
        raise ValueError("normal_cosine_ratio must exceed -1: a beam would leave through the entrance face")
    scaling = 1.0 / np.sqrt(1.0 + ratio)
    if normal_cosine_ratio is not None:
        u = u * (scaling[:, None] * scaling[None, :])
    absorption = (0.0, 0.0)
    hermitian = u
    if np.iscomplexobj(u):
        anti = (u - u.conj().T) / 2j
        size = float(np.abs(u).max())
        if float(np.abs(anti).max()) > 1e-13 * size:
            hermitian = (u + u.conj().T) / 2
            absorption = hermitian_bounds(_real_if_close(anti, size))
        else:
            u = hermitian = _real_if_close(u, size)
    bounds = hermitian_bounds(_real_if_close(hermitian, 1.0))
    k_n = normal_wavenumber_per_angstrom or wavenumber_per_angstrom
    return Slab(
        matrix=u,
        diagonal=2.0 * wavenumber_per_angstrom * s * scaling[:, None] ** 2,
        active=None if active is None else _with_direct_beam(np.asarray(active, dtype=bool)),
        bounds=bounds,
        absorption_bounds=absorption,
        unit=float(np.pi / k_n),
        scaling=scaling,
    )


def propagate(
    *,
    potential: ArrayLike,
    excitation_error: ArrayLike,
    wavenumber_per_angstrom: float,
    thickness_angstrom: ArrayLike,
    normal_cosine_ratio: ArrayLike | None = None,
    normal_wavenumber_per_angstrom: float | None = None,
    active: ArrayLike | None = None,
    rows: ArrayLike | None = None,
    tolerance: float | None = None,
    dtype: DTypeLike = np.float64,
) -> Complex:
    """Amplitudes ψ_g at every thickness and orientation; (J, N, S) complex, or (J, M, S) for ``rows`` (M,).

    potential: (N, N) U_{g−h} in Å⁻²; real, Hermitian, or Hermitian + i·(absorptive part U').
    excitation_error: (N, S) Å⁻¹. thickness_angstrom: (J,), along the surface normal.
    normal_cosine_ratio: (N,) g_n/K_n of a tilted surface; normal_wavenumber_per_angstrom: K_n, K when None.
    active: (N, S) bool, the beams that take part at each orientation (all when None; the direct beam always).
    tolerance: of the amplitudes; 1e-10 in 64 bit and 1e-6 in 32 bit when None.
    """
    slab = prepare_slab(
        potential=potential,
        excitation_error=excitation_error,
        wavenumber_per_angstrom=wavenumber_per_angstrom,
        normal_cosine_ratio=normal_cosine_ratio,
        normal_wavenumber_per_angstrom=normal_wavenumber_per_angstrom,
        active=active,
    )
    thickness = np.atleast_1d(np.asarray(thickness_angstrom, dtype=np.float64))
    wanted = None if rows is None else np.asarray(rows, dtype=np.int64)
    return propagate_slab(slab=slab, thickness_angstrom=thickness, rows=wanted, tolerance=tolerance, dtype=dtype)


def propagate_slab(
    *, slab: Slab, thickness_angstrom: Floats, rows: NDArray[np.int64] | None, tolerance: float | None, dtype: DTypeLike
) -> Complex:
    """As :func:`propagate`, from a prepared operator."""
    n, s = slab.diagonal.shape
    single = np.dtype(dtype) in (np.dtype(np.float32), np.dtype(np.complex64))
    limit = tolerance if tolerance is not None else (1e-6 if single else 1e-10)
    index = np.arange(n) if rows is None else rows
    result = np.zeros((thickness_angstrom.size, index.size, s), dtype=np.complex64 if single else np.complex128)
    for block in blocks(active=slab.active, beams=n, orientations=s):
        place = np.full(n, -1)
        place[block.rows] = np.arange(block.rows.size)
        local = place[index]
        inside = np.flatnonzero(local >= 0)
        part = _propagate_block(slab, block, thickness_angstrom, local[inside], limit, single)
        result[np.ix_(np.arange(thickness_angstrom.size), inside, block.columns)] = part
    return result


def _propagate_block(
    slab: Slab, block: Block, thickness: Floats, rows: NDArray[np.int64], tolerance: float, single: bool
) -> Array:
    """(J, M, S_block) amplitudes of one block, repeated with wider bounds if the terms grow."""
    spectrum = slab.spectrum(block)
    everything = rows.size == block.rows.size and bool(np.all(rows == np.arange(rows.size)))
    for _ in range(4):
        value, _ = coefficients(spectrum=spectrum, tau=slab.unit * thickness, tolerance=tolerance)
        psi, size = _recurrence(slab, block, spectrum, value, None if everything else rows, single)
        if size < 4.0 * spectrum.growth ** value.shape[0]:
            return np.asarray(np.swapaxes(psi, 1, 2))
        spectrum = Spectrum(
            centre=spectrum.centre,
            radius=1.25 * spectrum.radius,
            imaginary_low=spectrum.imaginary_low,
            imaginary_high=spectrum.imaginary_high,
        )
    raise ArithmeticError("the Chebyshev recurrence did not stay bounded; is the potential finite?")


def scaled_operator(
    slab: Slab, block: Block, spectrum: Spectrum, single: bool
) -> tuple[Array, Array, Array | None, np.dtype[Any]]:
    """(X_U^T, X_d, mask, dtype): X = 2 (A − shift) / radius, T_{k+1} = X T_k − T_{k−1}; blocks are (S, n)."""
    sub = slab.matrix if block.rows.size == slab.matrix.shape[0] else slab.matrix[np.ix_(block.rows, block.rows)]
    shift = spectrum.shift if spectrum.shift.imag != 0.0 else spectrum.centre
    complex_needed = np.iscomplexobj(sub)
    if complex_needed:
        kind: np.dtype[Any] = np.dtype(np.complex64 if single else np.complex128)
    else:
        kind = np.dtype(np.float32 if single else np.float64)
    factor = 2.0 / spectrum.radius
    matrix = np.ascontiguousarray((factor * sub.T).astype(kind))
    d = slab.diagonal[np.ix_(block.rows, block.columns)].T
    diagonal = np.ascontiguousarray((factor * (d - shift)).astype(kind))
    mask: Array | None = None
    if block.masked and slab.active is not None:
        mask = np.ascontiguousarray(slab.active[np.ix_(block.rows, block.columns)].T).astype(kind)
        diagonal *= mask
    return matrix, diagonal, mask, kind


def _recurrence(
    slab: Slab, block: Block, spectrum: Spectrum, value: Complex, rows: NDArray[np.int64] | None, single: bool
) -> tuple[Array, float]:
    """Sum the series; returns ((J, S, M) amplitudes, largest |T_k| met at the last term)."""
    matrix, diagonal, mask, kind = scaled_operator(slab, block, spectrum, single)
    s, n = diagonal.shape
    before = np.zeros((s, n), dtype=kind)
    before[:, 0] = 1.0
    now = 0.5 * diagonal * before + 0.5 * matrix[0][None, :]
    if mask is not None:
        now *= mask
    total = Accumulator(value=value, shape=(s, n if rows is None else rows.size), kind=kind)
    total.add(before if rows is None else before[:, rows])
    terms = value.shape[0]
    product = np.empty_like(now)
    work = np.empty_like(now)
    for k in range(1, terms):
        total.add(now if rows is None else now[:, rows])
        if k == terms - 1:
            break
        np.matmul(now, matrix, out=product)
        if mask is not None:
            product *= mask
        np.multiply(diagonal, now, out=work)
        product += work
        product -= before
        before, now, product = now, product, before
    return total.finish(), float(np.abs(now).max())


class Accumulator:
    """Σ_k c_k(τ_j) X_k for arrays X_k that arrive one by one, in chunks of one matrix product.

    For real X_k the even coefficients are real and the odd ones imaginary up to a common phase, so that two real
    sums are enough: c_k = phase · i^k · real.
    """

    def __init__(self, *, value: Complex, shape: tuple[int, ...], kind: np.dtype[Any]) -> None:
        self._complex = kind.kind == "c"
        self._shape = shape
        self._chunk = _CHUNK if self._complex else 2 * _CHUNK
        size = int(np.prod(shape))
        self._buffer = np.empty((self._chunk, size), dtype=kind)
        wide = np.dtype(np.complex64 if kind in (np.dtype(np.float32), np.dtype(np.complex64)) else np.complex128)
        self._coefficients = value.T.astype(wide)  # (J, terms)
        self._sum = np.zeros((value.shape[1], size), dtype=wide)
        self._filled = 0
        self._start = 0

    def add(self, term: Array) -> None:
        self._buffer[self._filled] = term.reshape(-1)
        self._filled += 1
        if self._filled == self._chunk:
            self._flush()

    def _flush(self) -> None:
        c = self._coefficients[:, self._start : self._start + self._filled]
        b = self._buffer[: self._filled]
        if self._complex:
            self._sum += c @ b
        else:
            self._sum.real += np.ascontiguousarray(c.real) @ b
            self._sum.imag += np.ascontiguousarray(c.imag) @ b
        self._start += self._filled
        self._filled = 0

    def finish(self) -> Array:
        if self._filled:
            self._flush()
        return self._sum.reshape(-1, *self._shape)


def _real_if_close(matrix: Array, size: float) -> Array:
    if np.iscomplexobj(matrix) and float(np.abs(matrix.imag).max()) <= 1e-13 * size:
        return np.ascontiguousarray(matrix.real)
    return matrix


def _with_direct_beam(active: NDArray[np.bool_]) -> NDArray[np.bool_]:
    mask = active.copy()
    mask[0] = True
    return mask
