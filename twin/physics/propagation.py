"""Propagation of the direct beam through a slab: one column of the scattering matrix for many orientations at once.

dψ/dz = (iπ/K_n) A ψ, ψ(0) = e_0, A_gg = 2K s_g / (1 + g_n/K_n), A_gh = U_{g−h} / √((1 + g_n/K_n)(1 + h_n/K_n))
(Palatinus, Petříček & Corrêa, Acta Cryst. A71 (2015) 235). Row 0 is the direct beam. All orientations share the
off-diagonal matrix, so each step of the Chebyshev recurrence is one matrix–matrix product, and one recurrence serves
every thickness. |ψ_g|² is the flux through the exit face in units of the incident flux: Σ|ψ_g|² = 1 without
absorption.
"""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray

from twin.physics.blocks import CHUNK, blocks, kind_of, pick, workspace
from twin.physics.chebyshev import Series, Spectrum, Trials, series
from twin.physics.decomposition import decomposed, decomposition_is_cheaper
from twin.physics.lattice import Floats
from twin.physics.recurrence import solve_blocks
from twin.physics.slab import Slab, prepare_slab

Array = NDArray[Any]
Complex = NDArray[np.complex128]
Method = Literal["fastest", "recurrence", "eigenvectors"]


def propagate(
    *,
    potential: ArrayLike,
    excitation_error: ArrayLike,
    wavenumber_per_angstrom: float,
    thickness_angstrom: ArrayLike,
    normal_cosine_ratio: ArrayLike | None = None,
    normal_wavenumber_per_angstrom: ArrayLike | None = None,
    active: ArrayLike | None = None,
    rows: ArrayLike | None = None,
    tolerance: float | None = None,
    dtype: DTypeLike = np.float64,
    method: Method = "fastest",
) -> Complex:
    """Amplitudes ψ_g at every thickness and orientation; (J, N, S) complex, or (J, M, S) for ``rows`` (M,).

    potential: (N, N) U_{g−h} in Å⁻²; real, Hermitian, or Hermitian + i·(absorptive part U').
    excitation_error: (N, S) Å⁻¹. thickness_angstrom: (J,), along the surface normal.
    normal_cosine_ratio: (N,) or (N, S) g_n/K_n of the surface, none when None. normal_wavenumber_per_angstrom: K_n,
    one number or (S,), K when None.
    active: (N, S) bool, the beams that take part at each orientation (all when None; the direct beam always).
    tolerance: of the amplitudes; 1e-10 in 64 bit and 2e-7 in 32 bit when None. Neighbouring columns should be
    neighbouring orientations: they share the union of their beams while working.
    method: the recurrence, eigenvectors (not with absorption), or what is expected to be faster.
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
    if method == "eigenvectors" or (
        method == "fastest" and decomposition_is_cheaper(slab, thickness_angstrom=thickness)
    ):
        kind = np.dtype(np.complex64 if is_single(dtype) else np.complex128)
        return decomposed(slab=slab, thickness_angstrom=thickness, rows=wanted, dtype=kind)
    return propagate_slab(slab=slab, thickness_angstrom=thickness, rows=wanted, tolerance=tolerance, dtype=dtype)


def is_single(dtype: DTypeLike) -> bool:
    """Whether ``dtype`` asks for 32-bit work."""
    return np.dtype(dtype) in (np.dtype(np.float32), np.dtype(np.complex64))


def default_tolerance(*, single: bool) -> float:
    """Of the amplitudes: below rounding in 32 bit (1e-6 of an intensity), far below any need in 64 bit."""
    return 2e-7 if single else 1e-10


def propagate_slab(
    *, slab: Slab, thickness_angstrom: Floats, rows: NDArray[np.int64] | None, tolerance: float | None, dtype: DTypeLike
) -> Complex:
    """As :func:`propagate`, from a prepared operator."""
    n, s = slab.diagonal.shape
    single = is_single(dtype)
    limit = tolerance if tolerance is not None else default_tolerance(single=single)
    kind = kind_of(slab.matrix, single=single)

    def expansion(spectrum: Spectrum) -> tuple[Series, Array]:
        coefficients = series(spectrum=spectrum, tau=slab.unit * thickness_angstrom, tolerance=limit)
        return coefficients, coefficients.alternating(CHUNK, kind.type(0).real.dtype)

    trials = Trials(slab.spectra, expansion)
    count = n if rows is None else rows.size
    result = np.zeros((thickness_angstrom.size, count, s), dtype=np.complex64 if single else np.complex128)
    parts = blocks(slab, terms=next(iter(trials))[1][0].terms, single=single)
    picked, space, todo = pick(parts, rows, n), workspace(parts, kind), np.arange(len(parts))
    for spectrum, (coefficients, weights) in trials:  # wider bounds are tried where terms grow more than they should
        with np.errstate(over="ignore", invalid="ignore"):
            sizes = solve_blocks(
                slab, parts, picked, spectrum, coefficients, weights, space=space, todo=todo, out=result
            )
        todo = np.flatnonzero(sizes >= 2.0 * spectrum.growth**coefficients.terms)
        if todo.size == 0:
            return result
    raise ArithmeticError("the Chebyshev recurrence did not stay bounded; is the potential finite?")
