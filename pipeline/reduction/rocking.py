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

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

import numpy as np
from numba import njit
from numpy.typing import NDArray

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


_CODES = {"sphere": 0, "gaussian": 1, "lorentzian": 2, "plate": 3}


@njit(cache=True)
def _density(code, u):  # type: ignore[no-untyped-def]
    if code == 1:
        return np.exp(-0.5 * u * u) / np.sqrt(2.0 * np.pi)
    if code == 2:
        return 1.0 / (np.pi * (1.0 + u * u))
    x = abs(np.pi * u)
    if code == 3:
        return 1.0 if x < 1e-6 else (np.sin(x) / x) ** 2
    x *= 2.0
    if x < 0.05:
        return 0.75 - x * x / 24.0
    return 6.0 * (0.5 - (x * np.sin(x) + np.cos(x) - 1.0) / (x * x)) / (x * x)


@njit(cache=True)
def _cumulative(code, table, u):  # type: ignore[no-untyped-def]
    if code == 1:
        return 0.5 * math.erfc(-u * 0.7071067811865476)
    if code == 2:
        return 0.5 + np.arctan(u) / np.pi
    at = abs(u) * ((table.shape[0] - 1) / _REACH)
    i = min(int(at), table.shape[0] - 2)
    value = table[i] + (table[i + 1] - table[i]) * min(at - i, 1.0)
    return 0.5 + value if u > 0 else 0.5 - value


@lru_cache(maxsize=4)
def _table(shape: Shape) -> Floats:
    """∫ R from 0 on a uniform grid of u ≥ 0 for shapes without a closed form; their tails fall as c/u beyond
    ``_REACH``."""
    if shape in ("gaussian", "lorentzian"):
        return np.zeros(2)
    u = np.linspace(0, _REACH, 24001)
    height = density(shape, u)
    total = np.concatenate([[0.0], np.cumsum(0.5 * (height[1:] + height[:-1]) * np.diff(u))])
    tail = (0.75 if shape == "sphere" else 0.5) / (np.pi**2 * _REACH)
    return np.asarray(total / (total[-1] + tail) * 0.5)


@njit(cache=True)
def _densities(code, u):  # type: ignore[no-untyped-def]
    out = np.empty(u.shape[0])
    for i in range(u.shape[0]):
        out[i] = _density(code, u[i])
    return out


@njit(cache=True)
def _cumulatives(code, table, u):  # type: ignore[no-untyped-def]
    out = np.empty(u.shape[0])
    for i in range(u.shape[0]):
        out[i] = _cumulative(code, table, u[i])
    return out


def cumulative(shape: Shape, u: Floats) -> Floats:
    """Part of the rocking curve below s = u · width."""
    flat = np.ascontiguousarray(u, dtype=np.float64).ravel()
    return np.asarray(_cumulatives(_CODES[shape], _table(shape), flat)).reshape(np.shape(u))


def density(shape: Shape, u: Floats) -> Floats:
    """R in units of 1 / width."""
    flat = np.ascontiguousarray(u, dtype=np.float64).ravel()
    return np.asarray(_densities(_CODES[shape], flat)).reshape(np.shape(u))


@njit(cache=True)
def _averages(code, table, s, half, width, camel, slopes):  # type: ignore[no-untyped-def]
    n = s.shape[0]
    mean = np.empty(n)
    slope = np.zeros(n)
    edge = np.cos(np.pi * np.arange(_CAMEL_STEPS + 1) / _CAMEL_STEPS)
    for i in range(n):
        w = width[i]
        if camel:
            total = 0.0
            rise = 0.0
            high = (s[i] + half[i]) / w
            part_high = _cumulative(code, table, high)
            height_high = _density(code, high) if slopes else 0.0
            for k in range(1, _CAMEL_STEPS + 1):
                low = (s[i] + half[i] * edge[k]) / w
                part_low = _cumulative(code, table, low)
                step = max(high - low, 1e-9)
                total += (part_high - part_low) / step
                if slopes:
                    height_low = _density(code, low)
                    rise += (height_high - height_low) / step
                    height_high = height_low
                high, part_high = low, part_low
            mean[i] = total / _CAMEL_STEPS / w
            slope[i] = rise / _CAMEL_STEPS / (w * w)
        else:
            a = max(half[i], 1e-6 * w)
            high, low = (s[i] + a) / w, (s[i] - a) / w
            mean[i] = (_cumulative(code, table, high) - _cumulative(code, table, low)) / (2.0 * a)
            if slopes:
                slope[i] = (_density(code, high) - _density(code, low)) / (2.0 * a * w)
    return mean, slope


def exposure_average(
    *, s: Floats, half_sweep: Floats, g_length: Floats, rocking: Rocking, mode: Mode, slopes: bool = True
) -> tuple[Floats, Floats]:
    """Mean of R (Å) over the exposure and its derivative (Å²) by s (zeros without ``slopes``); s (n,) at the centre,
    half_sweep (n,) in Å⁻¹."""
    width = rocking.widths(g_length)
    return _averages(  # type: ignore[no-any-return]
        _CODES[rocking.shape], _table(rocking.shape), s, half_sweep, width, mode == "precession", slopes
    )


def swept_fraction(*, s: Floats, half_sweep: Floats, g_length: Floats, rocking: Rocking) -> Floats:
    """Part of the rocking curve between the ends of the sweep."""
    width = rocking.widths(g_length)
    high, low = (s + half_sweep) / width, (s - half_sweep) / width
    return np.asarray(cumulative(rocking.shape, high) - cumulative(rocking.shape, low))
