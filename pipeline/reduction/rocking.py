"""The rocking curve of a reflection: how its intensity depends on the excitation error.

Shapes with ∫ R ds = 1, in u = s / width:

- sphere: the mean over the chords of a sphere of diameter D = 1 / width of sin²(πts)/(πs)²,
  R = (3 / 2 width) [½ − (x sin x + cos x − 1)/x²] / (πu)², x = 2πu. Its tails fall as s⁻², as any particle's do.
- gaussian: width is the standard deviation; many sources of broadening together.
- lorentzian: width is half of the width at half of the height; PETS's "RC width".
- plate: sin²(πu)/(πu)², one thickness 1 / width.

A spread of orientations (mosaicity, standard deviation m) moves a node by up to m|g|: the width becomes
√(width² + (m|g|)²), exact for the Gaussian. What an exposure records is the mean of R over the s that it sweeps:
uniform for a rotation, s̄ + a cos ψ for precession (the "camel" profile, Palatinus et al., Acta Cryst. B75 (2019) 512).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr

from twin.model.plan import Mode

Floats = NDArray[np.float64]
Shape = Literal["sphere", "gaussian", "lorentzian", "plate"]
SHAPES: tuple[Shape, ...] = ("sphere", "gaussian", "lorentzian", "plate")

_REACH = 60.0
_CAMEL_STEPS = 24
_HALF_OF_MAXIMUM = {"sphere": 0.55333, "gaussian": 1.17741, "lorentzian": 1.0, "plate": 0.44295}  # u of half height
_TAIL = {"sphere": 2.0, "gaussian": 3.0, "lorentzian": 6.0, "plate": 1.6}  # u beyond which there is little left


@dataclass(frozen=True, slots=True, kw_only=True)
class Rocking:
    """Shape, its width in Å⁻¹ (see the module) and a spread of orientations in degrees."""

    shape: Shape
    width_per_angstrom: float
    mosaic_deg: float = 0.0

    def widths(self, g_length: Floats) -> Floats:
        """Width at |g| (n,) in Å⁻¹."""
        return np.asarray(np.hypot(self.width_per_angstrom, np.radians(self.mosaic_deg) * g_length))

    def reach(self, g_length: Floats) -> Floats:
        """Distance in s from the middle beyond which little is left, (n,)."""
        return np.asarray(_TAIL[self.shape] * self.widths(g_length))

    @property
    def fwhm_per_angstrom(self) -> float:
        """Full width at half of the height at g = 0."""
        return 2.0 * _HALF_OF_MAXIMUM[self.shape] * self.width_per_angstrom

    def sentence(self) -> str:
        """For the log."""
        size = f" (diameter {1.0 / self.width_per_angstrom:.0f} Å)" if self.shape == "sphere" else ""
        return (
            f"rocking curve: {self.shape}, full width at half height {self.fwhm_per_angstrom:.5f} Å⁻¹{size}, "
            f"mosaicity {self.mosaic_deg:.3f}°"
        )


def same_fwhm(rocking: Rocking, shape: Shape) -> Rocking:
    """Another shape of the same width at half height and mosaicity."""
    width = 0.5 * rocking.fwhm_per_angstrom / _HALF_OF_MAXIMUM[shape]
    mosaic = rocking.mosaic_deg * _HALF_OF_MAXIMUM[rocking.shape] / _HALF_OF_MAXIMUM[shape]
    return Rocking(shape=shape, width_per_angstrom=width, mosaic_deg=mosaic)


def _sphere_density(u: Floats) -> Floats:
    x = 2 * np.pi * np.maximum(np.abs(u), 1e-9)
    series = 0.75 - x**2 / 24.0
    x_safe = np.maximum(x, 0.05)
    full = 6.0 * (0.5 - (x_safe * np.sin(x_safe) + np.cos(x_safe) - 1) / x_safe**2) / x_safe**2
    return np.where(x < 0.05, series, full)


@lru_cache(maxsize=4)
def _table(shape: Shape) -> tuple[Floats, Floats]:
    """∫ R from −∞ on a uniform grid of u ≥ 0 for shapes without a closed form; tails c/u beyond ``_REACH``."""
    u = np.linspace(0, _REACH, 24001)
    density = _sphere_density(u) if shape == "sphere" else np.sinc(u) ** 2
    total = np.concatenate([[0.0], np.cumsum(0.5 * (density[1:] + density[:-1]) * np.diff(u))])
    tail = (0.75 if shape == "sphere" else 0.5) / (np.pi**2 * _REACH)
    return u, total / (total[-1] + tail) * 0.5


def cumulative(shape: Shape, u: Floats) -> Floats:
    """Part of the rocking curve below s = u · width."""
    if shape == "gaussian":
        return np.asarray(ndtr(u))
    if shape == "lorentzian":
        return np.asarray(0.5 + np.arctan(u) / np.pi)
    grid, value = _table(shape)
    at = np.abs(u) * ((len(grid) - 1) / _REACH)
    index = np.minimum(at.astype(np.int64), len(grid) - 2)
    part = np.minimum(at - index, 1.0)
    return np.asarray(0.5 + np.copysign(value[index] + (value[index + 1] - value[index]) * part, u))


def density(shape: Shape, u: Floats) -> Floats:
    """R in units of 1 / width."""
    if shape == "gaussian":
        return np.asarray(np.exp(-0.5 * u**2) / np.sqrt(2 * np.pi))
    if shape == "lorentzian":
        return np.asarray(1.0 / (np.pi * (1.0 + u**2)))
    return np.asarray(_sphere_density(u) if shape == "sphere" else np.sinc(u) ** 2)


def exposure_average(
    *, s: Floats, half_sweep: Floats, g_length: Floats, rocking: Rocking, mode: Mode
) -> tuple[Floats, Floats]:
    """Mean of R (Å) over the exposure and its derivative (Å²) by s; s (n,) at the centre, half_sweep (n,) in Å⁻¹."""
    width = rocking.widths(g_length)
    if mode == "precession":
        edge = np.cos(np.pi * np.arange(_CAMEL_STEPS + 1) / _CAMEL_STEPS)
        u = (s[:, None] + half_sweep[:, None] * edge[None, :]) / width[:, None]
        step = np.maximum(u[:, :-1] - u[:, 1:], 1e-9)
        part = cumulative(rocking.shape, u)
        height = density(rocking.shape, u)
        mean = np.mean((part[:, :-1] - part[:, 1:]) / step, axis=1) / width
        return np.asarray(mean), np.asarray(np.mean((height[:, :-1] - height[:, 1:]) / step, axis=1) / width**2)
    half = np.maximum(half_sweep, 1e-6 * width)
    high, low = (s + half) / width, (s - half) / width
    mean = (cumulative(rocking.shape, high) - cumulative(rocking.shape, low)) / (2 * half)
    slope = (density(rocking.shape, high) - density(rocking.shape, low)) / (2 * half * width)
    return np.asarray(mean), np.asarray(slope)


def swept_fraction(*, s: Floats, half_sweep: Floats, g_length: Floats, rocking: Rocking) -> Floats:
    """Part of the rocking curve between the ends of the sweep."""
    width = rocking.widths(g_length)
    high, low = (s + half_sweep) / width, (s - half_sweep) / width
    return np.asarray(cumulative(rocking.shape, high) - cumulative(rocking.shape, low))
