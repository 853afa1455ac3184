"""The gradient of one function of a frame's intensities by everything that the frame depends on, in reverse.

With T_{k+1} = 2X T_k − T_{k−1} and amplitudes ψ_j = Σ_k c_jk T_k e_0, a change of the function is
Re Σ_k μ_k† δ(2X) T_{k−1} (half of that for k = 1), where μ_k = q_k + 2X μ_{k+1} − μ_{k+2} runs backwards from what the
function depends on of each term, q_k (Clenshaw's recurrence; reverse accumulation as in Griewank & Walther, Evaluating
Derivatives, SIAM 2008). Both recurrences are one matrix product a term and so is Σ μ T†, whatever the number of
parameters: three times the work of the intensities, where :mod:`twin.derivatives.intensities` needs two products for
each parameter. All terms are kept in memory.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray

from twin.derivatives.reverse import backward, forward
from twin.physics.blocks import (
    CHUNK,
    Block,
    aligned,
    blocks,
    fill_matrix,
    fill_operator,
    kind_of,
    local_rows,
    operator_arrays,
    padded,
)
from twin.physics.chebyshev import Series, Spectrum, Trials, series
from twin.physics.lattice import Floats
from twin.physics.propagation import default_tolerance, is_single
from twin.physics.slab import Slab, prepare_slab

Array = NDArray[Any]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Gradient:
    """intensity (M,).

    potential (N, N) Y with δL = Re Σ Y_gh δU_gh; excitation (N, S): ∂L/∂s in Å; thickness: ∂L/∂ln t.
    """

    intensity: Floats
    potential: Array
    excitation: Floats
    thickness: float


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Kept:
    """A block's operator, its terms (K, r s n), and the sums of its wanted beams: real and imaginary, (J, s, m)."""

    operator: tuple[Array, Array, Array, Array]
    terms: Array
    real: Array
    imaginary: Array
    rows: NDArray[np.int64]
    inside: NDArray[np.int64]
    weights: Array
    radius: float


def intensity_gradient(
    *,
    potential: ArrayLike,
    excitation_error: ArrayLike,
    wavenumber_per_angstrom: float,
    thickness_angstrom: ArrayLike,
    thickness_weights: ArrayLike,
    azimuth_weights: ArrayLike,
    rows: ArrayLike,
    slope: Callable[[Floats], Floats],
    active: ArrayLike | None = None,
    tolerance: float | None = None,
    dtype: DTypeLike = np.float64,
) -> Gradient:
    """Gradient of L(I), I_g = Σ_s w_s Σ_j W_j |ψ_g(t_j, s)|² of the beams ``rows`` (M,); ``slope(I)`` is ∂L/∂I (M,).

    The potential must be Hermitian. Arguments are those of
    :func:`twin.derivatives.intensities.intensities_with_derivatives`.
    """
    u, s = np.asarray(potential), np.asarray(excitation_error, dtype=np.float64)
    slab = prepare_slab(potential=u, excitation_error=s, wavenumber_per_angstrom=wavenumber_per_angstrom, active=active)
    if slab.spectra[0].growth > 1.0:
        raise ValueError("the potential must be Hermitian: a gradient in reverse is not made with absorption")
    nodes = np.atleast_1d(np.asarray(thickness_angstrom, dtype=np.float64))
    weights, azimuth = np.atleast_1d(np.asarray(thickness_weights)), np.asarray(azimuth_weights, dtype=np.float64)
    wanted, single = np.asarray(rows, dtype=np.int64), is_single(dtype)
    limit = tolerance if tolerance is not None else default_tolerance(single=single)
    kind = kind_of(slab.matrix, single=single)
    trials: Trials[tuple[Series, Array]] = Trials(
        slab.spectra, lambda spectrum: _coefficients(spectrum, slab.unit * nodes, limit, kind)
    )
    intensity, kept = np.zeros(wanted.size), []
    parts = blocks(slab, terms=next(iter(trials))[1][0].terms, single=single)
    for block in parts:
        here = _forward(slab, block, trials, wanted, kind)
        kept.append(here)
        power = np.einsum("j,jsm->sm", weights, here.real**2 + here.imaginary**2)
        np.add.at(intensity, here.inside, azimuth[block.columns] @ power)
    by_intensity = np.asarray(slope(intensity), dtype=np.float64)
    by_matrix = np.zeros(u.shape, dtype=kind if kind.kind == "c" else np.float64)
    by_diagonal = np.zeros(s.shape)
    for block, here in zip(parts, kept, strict=True):
        seed = 2.0 * np.multiply.outer(azimuth[block.columns], by_intensity[here.inside])
        square, turned = _backward(here, seed * weights[:, None, None], block.rows.size)
        by_matrix[np.ix_(block.rows, block.rows)] += square
        by_diagonal[np.ix_(block.rows, block.columns)] += turned
    scale = float(np.sum(by_matrix.real * u.real) - np.sum(by_matrix.imag * u.imag))
    return Gradient(
        intensity=intensity,
        potential=by_matrix,
        excitation=2.0 * wavenumber_per_angstrom * by_diagonal,
        thickness=scale + float(np.sum(by_diagonal * slab.diagonal)),  # ψ depends on t A alone
    )


def _coefficients(spectrum: Spectrum, tau: Floats, tolerance: float, kind: np.dtype[Any]) -> tuple[Series, Array]:
    made = series(spectrum=spectrum, tau=tau, tolerance=tolerance)
    return made, made.alternating(CHUNK, kind.type(0).real.dtype)


def _forward(
    slab: Slab, block: Block, trials: Trials[tuple[Series, Array]], wanted: NDArray[np.int64], kind: np.dtype[Any]
) -> _Kept:
    """Terms of a block, and the amplitudes of its wanted beams but for their common phase."""
    local, inside = local_rows(block, wanted, len(slab.matrix))
    s, twice = block.columns.size, kind.kind == "c"
    for spectrum, (coefficients, weights) in trials:
        operator = _operator(slab, block, spectrum, kind)
        size = (2 if twice else 1) * operator[2].size
        line = padded(size, operator[0].dtype)
        terms = aligned(max(2, coefficients.terms) * line, operator[0].dtype).reshape(-1, line)[:, :size]
        parts = np.zeros((2, weights.shape[1], (2 if twice else 1) * s * local.size), dtype=operator[0].dtype)
        with np.errstate(over="ignore", invalid="ignore"):  # too narrow bounds show in the size of the last term
            forward(*operator, terms, coefficients.terms, weights, local, parts)
        largest = float(np.abs(terms[coefficients.terms - 1]).max())
        if largest < 2.0:
            even, odd = parts.reshape(2, parts.shape[1], 2 if twice else 1, s, local.size)
            real, imaginary = (even[:, 0] - odd[:, 1], even[:, 1] + odd[:, 0]) if twice else (even[:, 0], odd[:, 0])
            return _Kept(
                operator=operator,
                terms=terms[: coefficients.terms],
                real=real,
                imaginary=imaginary,
                rows=local,
                inside=inside,
                weights=weights,
                radius=spectrum.radius,
            )
    raise ArithmeticError("the Chebyshev recurrence did not stay bounded; is the potential finite?")


def _operator(slab: Slab, block: Block, spectrum: Spectrum, kind: np.dtype[Any]) -> tuple[Array, Array, Array, Array]:
    """(real, imaginary part of the matrix (n, n), diagonal, mask (s, n)) of 2X, every row on a cache line."""
    real = kind.type(0).real.dtype
    n, s = padded(block.rows.size, real), block.columns.size
    matrix, diagonal, mask = (aligned(rows * n, real).reshape(rows, n) for rows in (n, s, s))
    source, values, weight, active = operator_arrays(slab)
    factor = real.type(2.0 / spectrum.radius)
    fill_operator(
        np.ascontiguousarray(source.real),
        values,
        weight,
        active,
        block.rows,
        int(block.columns[0]),
        factor,
        spectrum.centre,
        matrix,
        diagonal,
        mask,
    )
    imaginary = aligned(n * n if kind.kind == "c" else 0, real).reshape(-1, n)
    if kind.kind == "c":
        fill_matrix(np.ascontiguousarray(source.imag), block.rows, factor, imaginary)
    return matrix, imaginary, diagonal, mask


def _backward(here: _Kept, seed: Floats, beams: int) -> tuple[Array, Floats]:
    """(Y (n, n), ∂L/∂D (n, s)) of one block of ``beams`` n; seed (J, s, m): ∂L/∂|ψ|² times 2."""
    matrix, imaginary, diagonal, _ = here.operator
    real, nodes = matrix.dtype, seed.shape[0]
    even, odd = [here.real], [here.imaginary]
    if imaginary.size:
        even, odd = [here.real, here.imaginary], [here.imaginary, -here.real]
    seeds = np.stack([np.stack([seed * part for part in parts], axis=1).reshape(nodes, -1) for parts in (even, odd)])
    square, turned = np.zeros(matrix.shape, dtype=real), np.zeros(diagonal.shape, dtype=real)
    crossed = np.zeros_like(imaginary)
    backward(*here.operator, here.terms, here.weights, here.rows, seeds.astype(real), square, crossed, turned)
    y = square + 1j * crossed if imaginary.size else square
    return 2.0 / here.radius * y[:beams, :beams], 2.0 / here.radius * turned[:, :beams].T
