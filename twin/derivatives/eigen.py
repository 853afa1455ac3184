"""Intensities and derivatives of a frame by one eigendecomposition an orientation: for few beams and thick crystals.

With A = C γ C†, ψ(t) = C e^{iπγt/K} C† e_0, and for a change of the matrix (Daletskii & Krein; Higham, Functions of
Matrices, SIAM 2008, section 3.2)

    ∂ψ_g = Σ_kl C_gk (C† ∂A C)_kl F_kl conj(C_0l),    F_kl = (e_k − e_l) / (γ_k − γ_l), e_k = e^{iπγ_k t/K},

with the derivative iπt/K e where two eigenvalues meet: no derivative of an eigenvector is needed. The sum is turned
round: what an intensity, averaged over thicknesses, depends on of A is one matrix Y_g = conj(C) X_g Cᵀ, so that the
number of parameters does not count; where there are fewer parameters than reflections, they are taken one by one.
Cost is that of the decomposition and of two products for each reflection that is active at an orientation (or for each
parameter), whatever the thickness; the recurrence of :mod:`twin.derivatives.intensities` grows with both.
"""

from __future__ import annotations

import math
from typing import Any

import numba
import numpy as np
from numba.extending import overload
from numpy.typing import ArrayLike, DTypeLike, NDArray

from twin.physics.lattice import Floats, Ints

Array = NDArray[Any]
_FEWER = 0.8
_MEET = {np.dtype(np.float32): 0.03, np.dtype(np.float64): 1e-4}  # phase below which two eigenvalues are one


def eigen_intensities(
    *,
    potential: ArrayLike,
    potential_derivatives: ArrayLike,
    excitation_error: ArrayLike,
    excitation_derivatives: ArrayLike,
    wavenumber_per_angstrom: float,
    thickness_angstrom: ArrayLike,
    thickness_weights: ArrayLike,
    azimuth_weights: ArrayLike,
    rows: ArrayLike,
    thickness_scale_derivative: bool = False,
    active: ArrayLike | None = None,
    dtype: DTypeLike = np.float64,
) -> tuple[Floats, Floats]:
    """Intensity (M,) of the beams ``rows`` and derivatives (P + Q [+ 1], M); the potential must be Hermitian.

    Arguments as those of :func:`twin.derivatives.intensities.intensities_with_derivatives`.
    """
    real = np.dtype(np.float32 if np.dtype(dtype) in (np.dtype(np.float32), np.dtype(np.complex64)) else np.float64)
    u, du = np.asarray(potential), np.asarray(potential_derivatives)
    s = np.asarray(excitation_error, dtype=np.float64)
    n = len(u)
    du = du.reshape(-1, n, n)
    kind = real if _is_real(u) and _is_real(du) else np.dtype(np.complex64 if real.itemsize == 4 else np.complex128)
    if kind == real:
        u, du = u.real, du.real
    ds = np.asarray(excitation_derivatives, dtype=np.float64).reshape(-1, *s.shape)
    mask = np.ones(s.shape, dtype=np.bool_) if active is None else np.array(active, dtype=np.bool_)
    mask[0] = True
    wanted: Ints = np.asarray(rows, dtype=np.int64)
    total = np.zeros((2, wanted.size))
    turned = np.zeros((len(ds), wanted.size))
    few = 0 < len(du) < _FEWER * float(np.mean(mask[wanted].sum(axis=0)))  # parameters one by one, not reflections
    changes = np.ascontiguousarray(du.astype(kind)) if few else np.zeros((0, n, n), dtype=kind)
    slopes = np.zeros((len(changes), wanted.size))
    gathered = np.zeros((wanted.size if len(du) and not few else 0, n, n), dtype=kind)
    _accumulate(
        np.ascontiguousarray(u.astype(kind)),
        s,
        ds,
        mask,
        wavenumber_per_angstrom,
        np.atleast_1d(np.asarray(thickness_angstrom, dtype=np.float64)),
        np.atleast_1d(np.asarray(thickness_weights, dtype=np.float64)),
        np.asarray(azimuth_weights, dtype=np.float64),
        wanted,
        bool(len(du) or len(ds)),
        _MEET[real],
        changes,
        total,
        slopes,
        turned,
        gathered,
    )
    structural = slopes
    if len(gathered):
        structural = 2.0 * (du.reshape(len(du), n * n).astype(kind) @ gathered.reshape(wanted.size, -1).T).real
    slope = total[1:] if thickness_scale_derivative else total[:0]
    return total[0], np.concatenate([structural, turned, slope]).astype(np.float64)


def eigen_is_cheaper(
    *,
    excitation_error: Floats,
    active: NDArray[np.bool_] | None,
    rows: Ints,
    thickness_angstrom: float,
    parameters: int,
    turns: int,
) -> bool:
    """Whether :func:`eigen_intensities` takes less time than the recurrence.

    excitation_error (N, S) Å⁻¹. Counted are 25 n³ for a decomposition and 4 n³ for each derivative of an active row,
    against two products of n² for the state and each of the ``turns``, four for each structural parameter, in every
    term of the series; blocks of the recurrence hold about 1.3 times the beams of one orientation. With beams chosen
    at each orientation derivatives by the recurrence are differences, two products a parameter, which run at four
    times the rate of decompositions of a few dozen beams (measured on quartz, 28 beams).
    """
    mask = np.ones(excitation_error.shape, dtype=np.bool_) if active is None else active
    beams = mask.sum(axis=0).astype(np.float64)
    asked = mask[rows].sum(axis=0) if parameters + turns else np.zeros_like(beams)
    s = np.where(mask, excitation_error, 0.0)
    phase = math.pi * thickness_angstrom * float(s.max() - s.min())
    terms = phase + 6.0 * (phase + 1.0) ** (1.0 / 3.0) + 10.0
    shared = beams if active is None else 1.3 * beams
    eigen = float((beams**3 * (25.0 + 4.0 * asked)).sum())
    if active is None:
        return bool(eigen < terms * float((shared**2).sum()) * 2.0 * (1.0 + 2.0 * parameters + turns))
    return bool(eigen < terms * float((shared**2).sum()) * 0.5 * (1.0 + parameters + turns))


def _is_real(values: Array) -> bool:
    if not np.iscomplexobj(values):
        return True
    size = float(np.abs(values).max(initial=0.0))
    return float(np.abs(values.imag).max(initial=0.0)) <= 1e-13 * size


def _as_kind(out: Array, value: complex) -> complex:
    """``value`` as an element of ``out``: for real matrices only its real part counts."""
    return value if np.iscomplexobj(out) else value.real


@overload(_as_kind)
def _as_kind_compiled(out, value):  # type: ignore[no-untyped-def]  # numba compares the two signatures
    if isinstance(out.dtype, numba.types.Complex):
        return lambda out, value: value
    return lambda out, value: value.real


@numba.njit(cache=True)
def _accumulate(
    u: Array,
    s: Floats,
    ds: Floats,
    active: NDArray[np.bool_],
    k: float,
    thickness: Floats,
    weights: Floats,
    azimuths: Floats,
    rows: Ints,
    derivatives: bool,
    meet: float,
    changes: Array,
    total: Floats,
    slopes: Floats,
    turned: Floats,
    gathered: Array,
) -> None:
    """Add every orientation to total (2, M), slopes (P, M) or gathered (M, N, N), and turned (Q, M)."""
    for c in range(s.shape[1]):
        chosen = np.flatnonzero(active[:, c])
        place = np.full(u.shape[0], -1)
        place[chosen] = np.arange(chosen.size)
        here = np.flatnonzero(place[rows] >= 0)
        if here.size == 0:
            continue
        values, vectors = np.linalg.eigh(_block(u, chosen, 2.0 * k * s[:, c]))
        gamma = values.astype(np.float64)
        a, b, power = _thickness_sums(vectors, gamma, place[rows[here]], k, thickness, weights)
        for m in range(here.size):
            total[0, here[m]] += azimuths[c] * power[0, m]
            total[1, here[m]] += azimuths[c] * power[1, m]
        if not derivatives:
            continue
        inverse, close = _differences(gamma, meet * k / (np.pi * thickness.max()))
        if changes.shape[0] > 0:
            local, flat = place[rows[here]], np.zeros(u.shape[0])
            for p in range(changes.shape[0]):
                moved = np.dot(_block(changes[p], chosen, flat), vectors)
                _add(azimuths[c], _response(vectors, moved, local, a, b, inverse, close, k), here, slopes[p])
            for q in range(ds.shape[0]):
                moved = _scaled(vectors, 2.0 * k * ds[q, :, c], chosen)
                _add(azimuths[c], _response(vectors, moved, local, a, b, inverse, close, k), here, turned[q])
            continue
        for m in range(here.size):
            y = _sensitivity(vectors, place[rows[here[m]]], a[m], b[m], inverse, close, k)
            for q in range(ds.shape[0]):
                for i in range(chosen.size):
                    turned[q, here[m]] += 4.0 * k * azimuths[c] * ds[q, chosen[i], c] * y[i, i].real
            if gathered.shape[0] > 0:
                _scatter(y, chosen, azimuths[c], gathered[here[m]])


@numba.njit(cache=True)
def _scatter(y: Array, chosen: Ints, weight: float, out: Array) -> None:
    """out[chosen, chosen] += weight · y."""
    for i in range(chosen.size):
        for j in range(chosen.size):
            out[chosen[i], chosen[j]] += weight * y[i, j]


@numba.njit(cache=True)
def _block(u: Array, chosen: Ints, diagonal: Floats) -> Array:
    """u[chosen, chosen] with ``diagonal`` (N,) added, (n, n)."""
    matrix = np.empty((chosen.size, chosen.size), dtype=u.dtype)
    for i in range(chosen.size):
        for j in range(chosen.size):
            matrix[i, j] = u[chosen[i], chosen[j]]
        matrix[i, i] += diagonal[chosen[i]]
    return matrix


@numba.njit(cache=True)
def _thickness_sums(
    vectors: Array, gamma: Floats, rows: Ints, k: float, thickness: Floats, weights: Floats
) -> tuple[Array, Array, Floats]:
    """a_gk = Σ_j w_j conj(ψ_g) e_k and b with w_j t_j, (m, n); (2, m) Σ_j w_j |ψ_g|² and its ∂/∂ln t."""
    n, m = gamma.size, rows.size
    waves = np.empty((n, thickness.size), dtype=np.complex128)
    for i in range(n):
        for j in range(thickness.size):
            angle = np.pi * gamma[i] * thickness[j] / k
            waves[i, j] = complex(np.cos(angle), np.sin(angle))
    start = np.empty((m, n), dtype=np.complex128)
    for g in range(m):
        for i in range(n):
            start[g, i] = vectors[rows[g], i] * np.conj(vectors[0, i])
    psi = np.dot(start, waves)
    back = np.ascontiguousarray(waves.T)
    a = np.dot(np.conj(psi) * weights, back)
    b = np.dot(np.conj(psi) * (weights * thickness), back)
    power = np.zeros((2, m))
    for g in range(m):
        for j in range(thickness.size):
            power[0, g] += weights[j] * (psi[g, j].real ** 2 + psi[g, j].imag ** 2)
        for i in range(n):
            power[1, g] += 2.0 * (start[g, i] * b[g, i] * complex(0.0, np.pi * gamma[i] / k)).real
    return a, b, power


@numba.njit(cache=True)
def _differences(gamma: Floats, meet: float) -> tuple[Floats, NDArray[np.bool_]]:
    """1/(γ_k − γ_l) (n, n), 0 where the two are closer than ``meet``, and where that is."""
    n = gamma.size
    inverse, close = np.zeros((n, n)), np.ones((n, n), dtype=np.bool_)
    for i in range(n):
        for j in range(n):
            if abs(gamma[i] - gamma[j]) > meet:
                inverse[i, j] = 1.0 / (gamma[i] - gamma[j])
                close[i, j] = False
    return inverse, close


@numba.njit(cache=True)
def _add(weight: float, values: Floats, here: Ints, out: Floats) -> None:
    """out[here] += weight · values."""
    for m in range(here.size):
        out[here[m]] += weight * values[m]


@numba.njit(cache=True)
def _scaled(vectors: Array, diagonal: Floats, chosen: Ints) -> Array:
    """diag(diagonal[chosen]) · vectors."""
    out = np.empty_like(vectors)
    for i in range(chosen.size):
        for j in range(chosen.size):
            out[i, j] = diagonal[chosen[i]] * vectors[i, j]
    return out


@numba.njit(cache=True)
def _response(
    vectors: Array,
    moved: Array,
    rows: Ints,
    a: Array,
    b: Array,
    inverse: Floats,
    close: NDArray[np.bool_],
    k: float,
) -> Floats:
    """∂I (m,) of an orientation with weight 1 for a change ∂A of the matrix; moved: ∂A · vectors (n, n)."""
    n, m = inverse.shape[0], rows.size
    b_matrix = np.dot(np.ascontiguousarray(np.conj(vectors).T), moved)
    divided, column = np.zeros((n, n), dtype=vectors.dtype), np.zeros(n, dtype=np.complex128)
    own = np.empty((m, n), dtype=vectors.dtype)
    for g in range(m):
        own[g] = vectors[rows[g]]
    out = np.zeros(m)
    for i in range(n):
        for j in range(n):
            start = np.conj(vectors[0, j])
            if close[i, j]:
                for g in range(m):
                    front = b_matrix[i, j] * own[g, i] * start * complex(0.0, np.pi / k)
                    out[g] += (front * (b[g, i] + b[g, j])).real
            else:
                divided[i, j] = b_matrix[i, j] * inverse[i, j]
                column[i] += divided[i, j] * start
    onto = np.dot(own, divided)
    for g in range(m):
        for i in range(n):
            out[g] += 2.0 * (own[g, i] * a[g, i] * column[i] - onto[g, i] * np.conj(vectors[0, i]) * a[g, i]).real
    return out


@numba.njit(cache=True)
def _sensitivity(
    vectors: Array, row: int, a: Array, b: Array, inverse: Floats, close: NDArray[np.bool_], k: float
) -> Array:
    """Y (n, n): ∂I_g = 2 Re Σ_hi ∂A_hi Y_hi, of one orientation with weight 1."""
    n = inverse.shape[0]
    x = np.empty((n, n), dtype=vectors.dtype)
    for i in range(n):
        for j in range(n):
            value = complex(0.0, 0.5 * np.pi / k) * (b[i] + b[j]) if close[i, j] else (a[i] - a[j]) * inverse[i, j]
            x[i, j] = _as_kind(x, vectors[row, i] * np.conj(vectors[0, j]) * value)
    y: Array = np.dot(np.dot(np.conj(vectors), x), vectors.T)
    return y
