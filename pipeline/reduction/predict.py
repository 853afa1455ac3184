"""Which reflections an exposure excites, where they land, and what part of their rocking curve it covers.

The integrated rocking curve of a sphere of diameter D is the mean over its chords of sin²(πts)/(πs)²,
R(s) = (3 / 2D) [½ − (x sin x + cos x − 1)/x²] / (πs)², x = 2πDs, with ∫ R ds = 1: its tails fall as s⁻², as those of
any particle do, so that it stands for other shapes too with an effective D. The exposure averages R over the s that it
sweeps: uniformly for a rotation, as s̄ + a cos ψ for precession ("camel" profile, Palatinus et al. 2019).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from twin.model.plan import Mode

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

_REACH = 60.0  # in units of 1 / D


@lru_cache(maxsize=1)
def _cumulative() -> tuple[Floats, Floats]:
    """∫ R from −∞ against u = s D, odd about ½; the tail beyond the table is 3/(4π²u) on either side."""
    u = np.concatenate([np.linspace(0, 8, 4001), np.linspace(8, _REACH, 6001)[1:]])
    x = 2 * np.pi * np.maximum(u, 1e-9)
    series = 0.75 - x**2 / 24.0
    with np.errstate(divide="ignore", invalid="ignore"):
        full = 1.5 * (0.5 - (x * np.sin(x) + np.cos(x) - 1) / x**2) * 4 / x**2
    density = np.where(x < 0.05, series, full)
    total = np.concatenate([[0.0], np.cumsum(0.5 * (density[1:] + density[:-1]) * np.diff(u))])
    tail = 0.75 / (np.pi**2 * _REACH)
    total = total / (total[-1] + tail) * 0.5
    return np.concatenate([-u[:0:-1], u]), 0.5 + np.concatenate([-total[:0:-1], total])


def cumulative(u: Floats) -> Floats:
    """Part of the rocking curve below s = u / D."""
    table, value = _cumulative()
    return np.asarray(np.interp(u, table, value))


def exposure_average(*, s: Floats, half_sweep: Floats, diameter_angstrom: float, mode: Mode, steps: int = 24) -> Floats:
    """Mean of R (Å) over the exposure; s: (n,) at its centre, half_sweep: (n,) Å⁻¹."""
    d = diameter_angstrom
    if mode == "precession":
        edge = np.cos(np.pi * np.arange(steps + 1) / steps)
        u = (s[:, None] + half_sweep[:, None] * edge[None, :]) * d
        width = np.maximum(u[:, :-1] - u[:, 1:], 1e-9)
        part = cumulative(u)
        return np.asarray(np.mean((part[:, :-1] - part[:, 1:]) / width, axis=1) * d)
    half = np.maximum(half_sweep, 1e-6 / d)
    return np.asarray((cumulative((s + half) * d) - cumulative((s - half) * d)) / (2 * half))


def swept_fraction(*, s: Floats, half_sweep: Floats, diameter_angstrom: float) -> Floats:
    """Part of the rocking curve between the ends of the sweep."""
    d = diameter_angstrom
    return np.asarray(cumulative((s + half_sweep) * d) - cumulative((s - half_sweep) * d))


@dataclass(frozen=True, slots=True, kw_only=True)
class Sweep:
    """What the exposures cover: precession semi-angle, or half of the rotation of a frame about the axis."""

    mode: Mode
    half_angle_deg: float
    tilt_axis_deg: float
    wavenumber: float


def excitation(*, g_lab: Floats, sweep: Sweep) -> tuple[Floats, Floats]:
    """s at the centre of the exposure and half of the sweep in s, both (n,) in Å⁻¹, for g_lab (n, 3)."""
    angle = np.radians(sweep.half_angle_deg)
    curvature = np.sum(g_lab**2, axis=1) / (2 * sweep.wavenumber)
    if sweep.mode == "precession":
        return -g_lab[:, 2] * np.cos(angle) - curvature, np.sin(angle) * np.hypot(g_lab[:, 0], g_lab[:, 1])
    phi = np.radians(sweep.tilt_axis_deg)
    lever = np.abs(np.cos(phi) * g_lab[:, 1] - np.sin(phi) * g_lab[:, 0])
    return -g_lab[:, 2] - curvature, angle * lever if sweep.mode == "continuous" else np.zeros(len(g_lab))
