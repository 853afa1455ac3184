"""Intensities of a frame and their exact first derivatives, by differentiating the Chebyshev recurrence.

∂T_{k+1} = X ∂T_k + ∂X T_k − ∂T_{k−1} with X = 2 (A − shift) / radius: the parameters travel side by side, so that a
structural parameter costs two matrix products per step and an orientation parameter one. The bounds of the spectrum
are held fixed, which is exact: they only change how the same exponential is summed.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray

from twin.physics.chebyshev import Block, Spectrum, blocks, coefficients
from twin.physics.lattice import Floats
from twin.physics.propagation import Accumulator, Slab, prepare_slab, scaled_operator

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
    normal_wavenumber_per_angstrom: float | None = None,
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
    du = np.asarray(potential_derivatives).reshape(-1, n, n) * (slab.scaling[:, None] * slab.scaling[None, :])
    ds = np.asarray(excitation_derivatives, dtype=np.float64)
    ds = ds[:, :, None] if ds.ndim == 2 else ds
    dd = np.broadcast_to(ds.reshape(-1, n, ds.shape[-1]) if ds.size else np.zeros((0, n, 1)), (ds.shape[0], n, s))
    dd = 2.0 * wavenumber_per_angstrom * dd * (slab.scaling**2)[None, :, None]
    weights = np.asarray(thickness_weights, dtype=np.float64)
    extra = None if weight_derivative is None else np.asarray(weight_derivative, dtype=np.float64)
    nodes = np.atleast_1d(np.asarray(thickness_angstrom, dtype=np.float64))
    wanted = np.asarray(rows, dtype=np.int64)
    azimuth = np.asarray(azimuth_weights, dtype=np.float64)
    single = np.dtype(dtype) == np.dtype(np.float32)
    limit = tolerance if tolerance is not None else (1e-6 if single else 1e-10)

    count = du.shape[0] + dd.shape[0] + (extra is not None) + thickness_scale_derivative
    intensity, derivative = np.zeros(wanted.size), np.zeros((count, wanted.size))
    for block in blocks(active=slab.active, beams=n, orientations=s):
        place = np.full(n, -1)
        place[block.rows] = np.arange(block.rows.size)
        local = place[wanted]
        inside = np.flatnonzero(local >= 0)
        if inside.size == 0:
            continue
        psi, dpsi, slope = _block(slab, block, du, dd, nodes, local[inside], limit, single, thickness_scale_derivative)
        w = azimuth[block.columns]
        power = np.abs(psi) ** 2
        intensity[inside] += np.einsum("s,j,jsm->m", w, weights, power, optimize=True)
        weighted = np.conj(psi) * (w[None, :, None] * weights[:, None, None])
        derivative[: dpsi.shape[1], inside] += 2.0 * np.einsum("jsm,jpsm->pm", weighted, dpsi, optimize=True).real
        row = dpsi.shape[1]
        if extra is not None:
            derivative[row, inside] += np.einsum("s,j,jsm->m", w, extra, power, optimize=True)
            row += 1
        if slope is not None:
            derivative[row, inside] += 2.0 * np.einsum("jsm,j,jsm->m", weighted, nodes, slope, optimize=True).real
    return intensity, derivative


def _block(
    slab: Slab,
    block: Block,
    du: Array,
    dd: Floats,
    nodes: Floats,
    rows: NDArray[np.int64],
    tolerance: float,
    single: bool,
    with_slope: bool,
) -> tuple[Array, Array, Array | None]:
    """(ψ (J, S, M), ∂ψ (J, P + Q, S, M), ∂ψ/∂t (J, S, M) or None) of one block of orientations."""
    spectrum = slab.spectrum(block)
    value, slope = coefficients(spectrum=spectrum, tau=slab.unit * nodes, tolerance=tolerance)
    if np.iscomplexobj(du) and not np.iscomplexobj(slab.matrix):
        if float(np.abs(du.imag).max(initial=0.0)) <= 1e-13 * float(np.abs(du).max(initial=0.0)):
            du = du.real
        else:
            slab = _as_complex(slab)
    matrix, diagonal, mask, kind = scaled_operator(slab, block, spectrum, single)
    factor = 2.0 / spectrum.radius
    square = np.ix_(np.arange(du.shape[0]), block.rows, block.rows)
    dmatrix = np.ascontiguousarray(np.swapaxes(factor * du[square], 1, 2).astype(kind))
    wide = np.ix_(np.arange(dd.shape[0]), block.rows, block.columns)
    ddiagonal = np.ascontiguousarray(np.swapaxes(factor * dd[wide], 1, 2).astype(kind))

    s, n = diagonal.shape
    p, q = dmatrix.shape[0], ddiagonal.shape[0]
    before = np.zeros((1 + p + q, s, n), dtype=kind)
    before[0, :, 0] = 1.0
    now = np.zeros_like(before)
    now[0] = 0.5 * (diagonal * before[0] + matrix[0])
    now[1 : 1 + p] = 0.5 * dmatrix[:, :1, :]
    now[1 + p :] = 0.5 * ddiagonal * before[0]
    if mask is not None:
        now *= mask
    terms = value.shape[0]
    total = Accumulator(value=value, shape=(1 + p + q, s, rows.size), kind=kind)
    steep = Accumulator(value=slope, shape=(s, rows.size), kind=kind) if with_slope else None
    for k, term in enumerate(_terms(matrix, diagonal, mask, dmatrix, ddiagonal, before, now)):
        total.add(term[:, :, rows])
        if steep is not None:
            steep.add(term[0][:, rows])
        if k == terms - 1:
            break
    psi = total.finish()
    return psi[:, 0], psi[:, 1:], None if steep is None else slab.unit * steep.finish()


def _terms(
    matrix: Array, diagonal: Array, mask: Array | None, dmatrix: Array, ddiagonal: Array, before: Array, now: Array
) -> Any:
    """Yield T_k and its derivatives, (1 + P + Q, S, n), for k = 0, 1, 2, … (buffers are reused)."""
    p = dmatrix.shape[0]
    shape = now.shape
    product, work = np.empty_like(now), np.empty_like(now)
    yield before
    while True:
        yield now
        np.matmul(now.reshape(-1, shape[2]), matrix, out=product.reshape(-1, shape[2]))
        np.multiply(diagonal, now, out=work)
        product += work
        if p:
            np.matmul(now[0], dmatrix, out=work[1 : 1 + p])
            product[1 : 1 + p] += work[1 : 1 + p]
        product[1 + p :] += ddiagonal * now[0]
        if mask is not None:
            product *= mask
        product -= before
        before, now, product = now, product, before


def _as_complex(slab: Slab) -> Slab:
    return Slab(
        matrix=slab.matrix.astype(np.complex128),
        diagonal=slab.diagonal,
        active=slab.active,
        bounds=slab.bounds,
        absorption_bounds=slab.absorption_bounds,
        unit=slab.unit,
        scaling=slab.scaling,
    )


__all__ = ["Spectrum", "intensities_with_derivatives"]
