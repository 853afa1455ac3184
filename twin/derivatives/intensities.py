"""Intensities of a frame and their exact first derivatives, by differentiating the Chebyshev recurrence.

∂T_{k+1} = X ∂T_k + ∂X T_k − ∂T_{k−1} with X = 2 (A − shift) / radius: the parameters travel side by side, so that a
structural parameter costs two matrix products per step and an orientation parameter one. The bounds of the spectrum
are held fixed, which is exact: they only change how the same exponential is summed.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray

from twin.derivatives.terms import Sum, advance_sources, block_derivatives
from twin.physics.blocks import CHUNK, Block, block_operator, block_root, blocks, kind_of, local_rows
from twin.physics.chebyshev import Series, Spectrum, Trials, series
from twin.physics.lattice import Floats
from twin.physics.propagation import default_tolerance, is_single
from twin.physics.slab import Slab, prepare_slab

Array = NDArray[Any]


def intensities_with_derivatives(
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
    weight_derivative: ArrayLike | None = None,
    thickness_scale_derivative: bool = False,
    normal_cosine_ratio: ArrayLike | None = None,
    normal_wavenumber_per_angstrom: ArrayLike | None = None,
    active: ArrayLike | None = None,
    tolerance: float | None = None,
    dtype: DTypeLike = np.float64,
) -> tuple[Floats, Floats]:
    """Intensity (M,) of the beams ``rows`` and derivatives (P + Q [+ 1] [+ 1], M).

    I_g = Σ_s w_s Σ_j W_j |ψ_g(t_j, s)|² with azimuth_weights w (S,) and thickness_weights W (J,).
    potential_derivatives: (P, N, N) ∂U_{g−h}/∂p in Å⁻² per unit of p (P may be 0). excitation_derivatives: (Q, N, S)
    or (Q, N) ∂s_g/∂q in Å⁻¹ per unit of q (Q may be 0). Then, in this order, when asked for:
    weight_derivative (J,) ∂W_j/∂τ at fixed nodes, and thickness_scale_derivative, ∂I/∂ln(scale of all nodes).
    The other arguments are those of :func:`twin.physics.propagation.propagate`.
    """
    slab = prepare_slab(
        potential=potential,
        excitation_error=excitation_error,
        wavenumber_per_angstrom=wavenumber_per_angstrom,
        normal_cosine_ratio=normal_cosine_ratio,
        normal_wavenumber_per_angstrom=normal_wavenumber_per_angstrom,
        active=active,
    )
    n, s = slab.diagonal.shape
    du = np.asarray(potential_derivatives).reshape(-1, n, n)
    slab, du = _same_type(slab, du)
    dd = _diagonal_derivatives(excitation_derivatives, n, s)
    dd = 2.0 * wavenumber_per_angstrom * dd  # the weight W of the surface comes with the matrix's
    weights = np.asarray(thickness_weights, dtype=np.float64)
    extra = None if weight_derivative is None else np.asarray(weight_derivative, dtype=np.float64)
    nodes = np.atleast_1d(np.asarray(thickness_angstrom, dtype=np.float64))
    wanted = np.asarray(rows, dtype=np.int64)
    azimuth = np.asarray(azimuth_weights, dtype=np.float64)
    single = is_single(dtype)
    limit = tolerance if tolerance is not None else default_tolerance(single=single)

    count = du.shape[0] + dd.shape[0]
    total = np.zeros((1 + count + (extra is not None) + thickness_scale_derivative, wanted.size))
    trials = Trials(slab.spectra, lambda x: _series(x, slab.unit * nodes, limit, thickness_scale_derivative))
    for block in blocks(slab, width=1 + 2 * du.shape[0] + dd.shape[0], single=single):
        local, inside = local_rows(block, wanted, n)
        if inside.size == 0:
            continue
        psi, slope = _block(slab, block, du, dd, trials, local, single)
        root = block_root(slab, block, local)
        flux = np.ones((1, 1)) if root is None else root**-2.0
        share = np.broadcast_to(azimuth[block.columns][:, None] * flux, psi.shape[2:])
        total[:, inside] += _averages(psi, slope, share, nodes, weights, extra)
    return total[0], total[1:]


def _averages(
    psi: Array, slope: Array | None, share: Floats, nodes: Floats, weights: Floats, extra: Floats | None
) -> Floats:
    """(1 + P + Q [+ 1] [+ 1], m) intensity and derivatives, from ψ and ∂ψ (J, 1 + P + Q, s, m), ∂ψ/∂t (J, s, m).

    share: (s, m) weight of each orientation. weights, extra: (J,) weights of the nodes and their derivative.
    """
    power = np.einsum("sm,jsm->jm", share, np.abs(psi[:, 0]) ** 2)
    weighted = np.conj(psi[:, 0]) * (share * weights[:, None, None])
    parts = [(weights @ power)[None], 2.0 * np.einsum("jsm,jpsm->pm", weighted, psi[:, 1:]).real]
    if extra is not None:
        parts.append((extra @ power)[None])
    if slope is not None:
        parts.append(2.0 * np.einsum("jsm,j,jsm->m", weighted, nodes, slope, optimize=True).real[None])
    return np.concatenate(parts)


def _diagonal_derivatives(values: ArrayLike, n: int, s: int) -> Floats:
    """(Q, N, S) from (Q, N, S) or (Q, N)."""
    ds = np.asarray(values, dtype=np.float64)
    if ds.size == 0:
        return np.zeros((0, n, s))
    return np.broadcast_to(ds[:, :, None] if ds.ndim == 2 else ds, (len(ds), n, s))


def _same_type(slab: Slab, du: Array) -> tuple[Slab, Array]:
    """Make matrix and derivatives both real or both complex."""
    if np.iscomplexobj(du) and not np.iscomplexobj(slab.matrix):
        if float(np.abs(du.imag).max(initial=0.0)) <= 1e-13 * float(np.abs(du).max(initial=0.0)):
            return slab, np.ascontiguousarray(du.real)
        as_complex = slab.matrix.astype(np.complex128)
        return replace(slab, matrix=as_complex, transposed=as_complex), du
    return slab, du


def _series(spectrum: Spectrum, tau: Floats, tolerance: float, with_slope: bool) -> tuple[Series, Series | None]:
    value = series(spectrum=spectrum, tau=tau, tolerance=tolerance)
    return value, series(spectrum=spectrum, tau=tau, tolerance=tolerance, derivative=True) if with_slope else None


def _block(
    slab: Slab,
    block: Block,
    du: Array,
    dd: Floats,
    trials: Trials[tuple[Series, Series | None]],
    rows: NDArray[np.int64],
    single: bool,
) -> tuple[Array, Array | None]:
    """(ψ and ∂ψ (J, 1 + P + Q, s, m), ∂ψ/∂t (J, s, m) or None) of one block."""
    for spectrum, (value, slope) in trials:
        with np.errstate(over="ignore", invalid="ignore"):  # too narrow bounds show in the size of the last term
            psi, steep, size = _sum(slab, block, spectrum, du, dd, value, slope, rows, single)
        if size < 2.0 * spectrum.growth**value.terms:
            return psi, None if steep is None else slab.unit * (steep + 1j * spectrum.shift * psi[:, 0])
    raise ArithmeticError("the Chebyshev recurrence did not stay bounded; is the potential finite?")


def _sum(
    slab: Slab,
    block: Block,
    spectrum: Spectrum,
    du: Array,
    dd: Floats,
    value: Series,
    slope: Series | None,
    rows: NDArray[np.int64],
    single: bool,
) -> tuple[Array, Array | None, float]:
    """Run the recurrence of T_k and its derivatives, (1 + P + Q, s, n), and sum the wanted rows."""
    matrix, diagonal, mask = block_operator(slab, block, spectrum, kind=kind_of(slab.matrix, single=single))
    dmatrix, ddiagonal = block_derivatives(slab, block, spectrum, du, dd, single=single)
    (s, n), p = diagonal.shape, len(dmatrix)
    wide = 1 + p + len(ddiagonal)
    before = np.zeros((wide, s, n), dtype=diagonal.dtype)
    before[0, :, 0] = 1.0
    source = np.zeros_like(before)
    now, product = np.zeros_like(before), np.empty_like(before)
    now[0] = 0.5 * (diagonal * before[0] + mask * matrix[0])
    now[1 : 1 + p] = 0.5 * mask * dmatrix[:, :1, :]
    now[1 + p :] = 0.5 * mask * ddiagonal * before[0]
    total = Sum(coefficients=value, size=wide * s * rows.size, kind=diagonal.dtype)
    steep = None if slope is None else Sum(coefficients=slope, size=s * rows.size, kind=diagonal.dtype)
    kept = np.empty((CHUNK, wide, s, rows.size), dtype=diagonal.dtype)
    kept[0], kept[1] = before[:, :, rows], now[:, :, rows]
    for k in range(value.terms):
        if k >= 2:
            np.matmul(now.reshape(-1, n), matrix, out=product.reshape(-1, n))
            np.matmul(now[0], dmatrix, out=source[1 : 1 + p])
            np.multiply(ddiagonal, now[0], out=source[1 + p :])
            advance_sources(product, source, diagonal, mask, now, before)
            before, now, product = now, product, before
            kept[k % CHUNK] = now[:, :, rows]
        if k % CHUNK == CHUNK - 1 or k == value.terms - 1:
            part = kept[: k % CHUNK + 1]
            total.add(k - k % CHUNK, part)
            if steep is not None:
                steep.add(k - k % CHUNK, np.ascontiguousarray(part[:, 0]))
    largest = float(np.abs(now[0]).max())
    return total.value((wide, s, rows.size)), None if steep is None else steep.value((s, rows.size)), largest
