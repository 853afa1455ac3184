"""Pieces of the Chebyshev propagator: spectral bounds, coefficients, and the plan for blocks of orientations.

The operator of one orientation is diag(d_s) + U, with U shared by all of them. On a spectrum inside
centre ± radius, exp(iτA) = e^{iτ·centre} Σ_k (2 − δ_k0) i^k J_k(τ·radius) T_k((A − centre) / radius)
(Tal-Ezer & Kosloff, J. Chem. Phys. 81 (1984) 3967). With U and d real every T_k e_0 is real: only the coefficients
are complex.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import jv

from twin.physics.lattice import Floats

Complex = NDArray[np.complex128]
_LANCZOS_STEPS = 14


def hermitian_bounds(matrix: NDArray[Any], *, steps: int = _LANCZOS_STEPS) -> tuple[float, float]:
    """(lower, upper) bounds of the eigenvalues of a Hermitian (n, n) matrix.

    Exact for n ≤ 64; otherwise the extreme Ritz values of a few Lanczos steps, widened by their residuals
    (Zhou & Li, Linear Algebra Appl. 435 (2011) 480) and by 1 %. Callers check the outcome by the norm of ψ.
    """
    n = matrix.shape[0]
    if n <= 64:
        values = np.linalg.eigvalsh(matrix)
        return float(values[0]), float(values[-1])
    v = np.cos(1.0 + 1.7 * np.arange(n)).astype(matrix.dtype) + 1.0
    v /= np.linalg.norm(v)
    before = np.zeros_like(v)
    alpha, beta, b = np.zeros(steps), np.zeros(steps), 0.0
    for j in range(steps):
        w = matrix @ v - b * before
        alpha[j] = float(np.real(np.vdot(v, w)))
        w -= alpha[j] * v
        b = float(np.linalg.norm(w))
        beta[j] = b
        if b < 1e-12 * max(abs(alpha).max(), 1e-300):
            steps = j + 1
            break
        before, v = v, w / b
    t = np.diag(alpha[:steps]) + np.diag(beta[: steps - 1], 1) + np.diag(beta[: steps - 1], -1)
    ritz, vectors = np.linalg.eigh(t)
    residual = np.abs(beta[steps - 1] * vectors[-1])
    margin = 0.01 * (ritz[-1] - ritz[0])
    return float(ritz[0] - residual[0] - margin), float(ritz[-1] + residual[-1] + margin)


@dataclass(frozen=True, slots=True, kw_only=True)
class Spectrum:
    """Rectangle that holds the field of values: real part in centre ± radius, imaginary part in [low, high]."""

    centre: float
    radius: float
    imaginary_low: float = 0.0
    imaginary_high: float = 0.0

    @property
    def shift(self) -> complex:
        """Centre of the rectangle."""
        return complex(self.centre, 0.5 * (self.imaginary_low + self.imaginary_high))

    @property
    def growth(self) -> float:
        """Parameter ρ of the Bernstein ellipse (foci ± 1) that encloses the scaled rectangle; 1 when it is flat."""
        y = 0.5 * (self.imaginary_high - self.imaginary_low) / self.radius
        if y == 0.0:
            return 1.0
        x = max(0.0, 1.0 - y)  # the radius has been widened by the half height: see spectrum_of
        total = np.hypot(x - 1.0, y) + np.hypot(x + 1.0, y)
        return float(0.5 * (total + np.sqrt(max(total**2 - 4.0, 0.0))))


def spectrum_of(
    *, off_diagonal: tuple[float, float], diagonal: tuple[float, float], absorption: tuple[float, float] = (0.0, 0.0)
) -> Spectrum:
    """Bounds of diag(d) + U (+ iU') from those of its parts (Weyl's inequality)."""
    low, high = off_diagonal[0] + diagonal[0], off_diagonal[1] + diagonal[1]
    half_height = 0.5 * (absorption[1] - absorption[0])
    return Spectrum(
        centre=0.5 * (low + high),
        radius=max(0.5 * (high - low) + half_height, 1e-12),
        imaginary_low=absorption[0],
        imaginary_high=absorption[1],
    )


def coefficients(*, spectrum: Spectrum, tau: Floats, tolerance: float) -> tuple[Complex, Complex]:
    """Coefficients c_k(τ) of exp(iτA) = Σ c_k T_k and their derivatives by τ; both (terms, len(tau)).

    The number of terms is the smallest whose neglected tail is below ``tolerance``, with the growth ρ^k of T_k on
    the enclosing ellipse when there is absorption (Crouzeix's theorem bounds the matrix function by 2.41 × that).
    """
    radius, shift = spectrum.radius, spectrum.shift
    x = radius * np.abs(tau)
    most = int(np.max(x, initial=0.0))
    size = int(most + 12.0 * (most + 1.0) ** (1.0 / 3.0) + 40)
    k = np.arange(size + 2)
    bessel = jv(k[:, None], radius * tau[None, :])
    tail = np.cumsum((2.0 * np.abs(bessel).max(axis=1) * spectrum.growth**k)[::-1])[::-1]
    terms = min(int(np.searchsorted(-tail, -tolerance)) + 1, size)
    factor = np.where(k == 0, 1.0, 2.0) * np.array([1.0, 1.0j, -1.0, -1.0j])[k % 4]
    phase = np.exp(1j * shift * tau)[None, :]
    slope = np.empty_like(bessel[:-1])
    slope[0] = -bessel[1]
    slope[1:] = 0.5 * (bessel[:-2] - bessel[2:])
    value = factor[:terms, None] * phase * bessel[:terms]
    derivative = factor[:terms, None] * phase * (1j * shift * bessel[:terms] + radius * slope[:terms])
    return value, derivative


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Block:
    """Neighbouring orientations that are propagated together on the union of their active beams."""

    columns: NDArray[np.int64]
    rows: NDArray[np.int64]
    masked: bool


def blocks(
    *, active: NDArray[np.bool_] | None, beams: int, orientations: int, block_size: int | None = None
) -> list[Block]:
    """Split orientations into contiguous blocks.

    Without a mask: one block of at most 64 columns after another. With a mask the size (8…64) is the one with the
    least work Σ n² s, a block of few columns being charged for its poorer matrix products.
    """
    if active is None:
        size = block_size or 64
        everything = np.arange(beams)
        starts = range(0, orientations, size)
        return [Block(columns=np.arange(i, min(i + size, orientations)), rows=everything, masked=False) for i in starts]
    best: list[Block] = []
    least = np.inf
    for size in (block_size,) if block_size else (4, 8, 16, 32, 64):
        trial = []
        for i in range(0, orientations, size):
            columns = np.arange(i, min(i + size, orientations))
            union = active[:, columns]
            rows = np.flatnonzero(union.any(axis=1))
            trial.append(Block(columns=columns, rows=rows, masked=not bool(union[rows].all())))
        work = sum(b.rows.size**2 * (b.columns.size + 6.0) + 30.0 * b.rows.size * b.columns.size for b in trial)
        if work < least:
            best, least = trial, work
    return best
