"""Chebyshev expansion of exp(iτA): its coefficients.

On a spectrum inside c ± r, exp(iτA) = e^{iτc} Σ_k (2 − δ_k0) i^k J_k(τ r) T_k((A − c) / r)
(Tal-Ezer & Kosloff, J. Chem. Phys. 81 (1984) 3967). For a real matrix every T_k e_0 is real: only coefficients are
complex. With absorption the same polynomials are used about a complex centre; they grow as ρ^k on the ellipse that
encloses the scaled field of values, and the number of terms allows for it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import numba
import numpy as np
from numpy.typing import NDArray

from twin.physics.lattice import Floats

Complex = NDArray[np.complex128]
Array = NDArray[Any]
T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Spectrum:
    """Rectangle that holds the field of values: real part in centre ± radius, imaginary part in [low, high].

    The radius has been widened by half the height, which keeps the enclosing ellipse flat.
    """

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
        """Parameter ρ of the Bernstein ellipse (foci ± 1) through the corners of the scaled rectangle; 1 if flat."""
        y = 0.5 * (self.imaginary_high - self.imaginary_low) / self.radius
        if y <= 0.0:
            return 1.0
        x = max(0.0, 1.0 - y)
        total = np.hypot(x - 1.0, y) + np.hypot(x + 1.0, y)
        return float(0.5 * (total + np.sqrt(max(total**2 - 4.0, 0.0))))

    def widened(self, factor: float) -> Spectrum:
        return Spectrum(
            centre=self.centre,
            radius=factor * self.radius,
            imaginary_low=self.imaginary_low,
            imaginary_high=self.imaginary_high,
        )


def spectrum_of(*, real: tuple[float, float], absorption: tuple[float, float] = (0.0, 0.0)) -> Spectrum:
    """Rectangle for eigenvalue bounds of the Hermitian and of the absorptive part."""
    half_height = 0.5 * (absorption[1] - absorption[0])
    return Spectrum(
        centre=0.5 * (real[0] + real[1]),
        radius=max(0.5 * (real[1] - real[0]) + half_height, 1e-12),
        imaginary_low=absorption[0],
        imaginary_high=absorption[1],
    )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Series:
    """c_k(τ_j) = phase_j · i^k · real_kj. phase: (J,); real: (terms, J); shift: the centre; tau: (J,)."""

    phase: Complex
    real: Floats

    @property
    def terms(self) -> int:
        return int(self.real.shape[0])

    def alternating(self, multiple: int, kind: np.dtype[Any]) -> Array:
        """(2, J, n/2) weights of the even and odd terms (i^k without its i); n: terms padded to a multiple."""
        count = -(-self.terms // multiple) * multiple
        padded = np.zeros((count, self.real.shape[1]))
        padded[: self.terms] = self.real * np.array([1.0, 1.0, -1.0, -1.0])[np.arange(self.terms) % 4][:, None]
        return np.ascontiguousarray(padded.reshape(-1, 2, padded.shape[1]).transpose(1, 2, 0).astype(kind))


def series(*, spectrum: Spectrum, tau: Floats, tolerance: float, derivative: bool = False) -> Series:
    """Coefficients of exp(iτA), or with ``derivative`` of d/dτ exp(iτ(A − shift)), on T_k.

    The number of terms is the smallest whose neglected tail is below ``tolerance``, with the growth ρ^k of T_k on the
    enclosing ellipse when there is absorption (Crouzeix's theorem: the matrix function is within 2.41 × that).
    """
    x = spectrum.radius * np.asarray(tau, dtype=np.float64)
    most = float(np.max(np.abs(x), initial=0.0))
    growth = spectrum.growth
    size = int(1.1 * most * growth + 12.0 * (most + 1.0) ** (1.0 / 3.0) + 40)
    k = np.arange(size + 2)
    bessel = bessel_j(x, size + 2)
    tail = np.cumsum((2.0 * np.abs(bessel).max(axis=1) * growth**k)[::-1])[::-1]
    terms = min(max(int(np.searchsorted(-tail, -tolerance)), 1), size)
    factor = np.where(k == 0, 1.0, 2.0)[:terms, None]
    values = bessel[:terms]
    if derivative:  # i^k J_k' = i^k (J_{k−1} − J_{k+1}) / 2
        slope = np.empty_like(bessel[:-1])
        slope[0] = -bessel[1]
        slope[1:] = 0.5 * (bessel[:-2] - bessel[2:])
        values = spectrum.radius * slope[:terms]
    return Series(phase=np.exp(1j * spectrum.shift * np.asarray(tau)), real=factor * values)


@numba.njit(cache=True)
def bessel_j(x: Floats, count: int) -> Floats:
    """J_0 … J_{count−1} at x (J,); (count, J).

    Miller's backward recurrence J_{k−1} = (2k/x) J_k − J_{k+1}, normalised by J_0 + 2 Σ J_2m = 1
    (Abramowitz & Stegun (1964) 9.12).
    """
    out = np.zeros((count, x.size))
    for j in range(x.size):
        y = abs(x[j])
        if y < 1e-8:  # J_1 = x/2 to rounding
            out[0, j] = 1.0
            if count > 1:
                out[1, j] = 0.5 * x[j]
            continue
        start = max(count, int(y)) + 20 + int(12.0 * y ** (1.0 / 3.0))
        above, here, total = 0.0, 1e-300, 0.0
        for k in range(start + start % 2, 0, -1):
            above, here = here, 2.0 * k / y * here - above  # order k − 1
            if k <= count:
                out[k - 1, j] = here
            if k % 2 == 1:
                total += here if k == 1 else 2.0 * here
            if abs(here) > 1e200:
                above, here, total = above * 1e-200, here * 1e-200, total * 1e-200
                out[k - 1 :, j] *= 1e-200
        out[:, j] /= total
        if x[j] < 0.0:
            out[1::2, j] *= -1.0
    return out


class Trials(Generic[T]):
    """Spectra in the order of trial, each with what belongs to it, made once and only when it is needed."""

    def __init__(self, spectra: tuple[Spectrum, ...], make: Callable[[Spectrum], T]) -> None:
        self._spectra = spectra
        self._make = make
        self._made: list[T] = []

    def __iter__(self) -> Iterator[tuple[Spectrum, T]]:
        for i, spectrum in enumerate(self._spectra):
            if i == len(self._made):
                self._made.append(self._make(spectrum))
            yield spectrum, self._made[i]
