"""What photon noise leaves to know of a spot: Fisher information of Poisson counts in its pixels.

A spot of e counts with the shape p (Σ p = 1) on a level b: the counts of a pixel are expected as μ = e p + b, and a
parameter θ is known no better than (Σ (∂μ/∂θ)² / μ)^−½ (Cramér and Rao). Pixels are small beside the spot, so that sums
over them are integrals over a Gaussian, which depend on e / b alone but for a factor.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

SPOT_SIGMA_PX = 1.0
SEEN_SIGMA2_PX2 = SPOT_SIGMA_PX**2 + 1.0 / 12.0  # with the width of a pixel
_LOG_RATIO = np.linspace(-12.0, 22.0, 681)


def _tables() -> tuple[Floats, Floats]:
    """∫ p²/(ρp + 1) and ∫ (∂p/∂x)²/(ρp + 1) over the plane against ln ρ, for the width of a spot."""
    u = np.linspace(0.0, 60.0, 6001)  # r²/2σ²; the element of area is 2πσ² du
    top = 1.0 / (2.0 * np.pi * SEEN_SIGMA2_PX2)
    p = top * np.exp(-u)
    rho = np.exp(_LOG_RATIO)[:, None]
    amplitude = np.trapezoid(p**2 / (rho * p + 1.0), u, axis=1)
    moved = np.trapezoid(p**2 * u / (rho * p + 1.0), u, axis=1) / SEEN_SIGMA2_PX2  # mean of x² is r²/2
    area = 2.0 * np.pi * SEEN_SIGMA2_PX2
    return np.asarray(area * amplitude), np.asarray(area * moved)


_AMPLITUDE, _MOVED = _tables()


def _read(table: Floats, electrons: Floats, level: Floats) -> Floats:
    ratio = np.log(np.maximum(electrons, 1e-30) / level)
    return np.asarray(np.exp(np.interp(ratio, _LOG_RATIO, np.log(table))) / level)


def amplitude_information(electrons: Floats, level: Floats) -> Floats:
    """1 / variance of the counts of spots (n,) on levels (n,)."""
    return _read(_AMPLITUDE, electrons, level)


def position_information(electrons: Floats, level: Floats) -> Floats:
    """1 / variance of one coordinate of spots (n,), px⁻²."""
    return np.asarray(electrons**2 * _read(_MOVED, electrons, level))
