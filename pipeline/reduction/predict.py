"""Which reflections an exposure excites."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numba import njit
from numpy.typing import NDArray

from twin.model.plan import Mode

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

_CODES = {"precession": 0, "continuous": 1}


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


@njit(cache=True)
def _near(g_zero, rotation, margin, code, angle, phi, wavenumber):  # type: ignore[no-untyped-def]
    n = g_zero.shape[0]
    index = np.empty(n, dtype=np.int64)
    g = np.empty((n, 3))
    s = np.empty(n)
    half = np.empty(n)
    cosine, sine = np.cos(phi), np.sin(phi)
    down, across = (np.cos(angle), np.sin(angle)) if code == 0 else (1.0, angle)
    m = 0
    for i in range(n):
        a, b, c = g_zero[i, 0], g_zero[i, 1], g_zero[i, 2]
        z = rotation[2, 0] * a + rotation[2, 1] * b + rotation[2, 2] * c
        off = -z * down - (a * a + b * b + c * c) / (2 * wavenumber)
        if abs(off) > across * 4.0 + margin[i]:  # no |g| is beyond 4 Å⁻¹: most reflections end here
            continue
        x = rotation[0, 0] * a + rotation[0, 1] * b + rotation[0, 2] * c
        y = rotation[1, 0] * a + rotation[1, 1] * b + rotation[1, 2] * c
        if code == 0:
            width = across * np.sqrt(x * x + y * y)
        elif code == 1:
            width = across * abs(cosine * y - sine * x)
        else:
            width = 0.0
        if abs(off) < width + margin[i]:
            index[m] = i
            g[m, 0], g[m, 1], g[m, 2] = x, y, z
            s[m] = off
            half[m] = width
            m += 1
    return index[:m], g[:m], s[:m], half[:m]


def near_sphere(
    *, g_zero: Floats, rotation: Floats, sweep: Sweep, margin_per_angstrom: Floats | float
) -> tuple[Ints, Floats, Floats, Floats]:
    """Reflections (of ``g_zero`` (n, 3) at tilt 0) within ``margin_per_angstrom`` of the sweep of one frame.

    Their numbers (m,), g in the laboratory (m, 3), s and half of the sweep (m,).
    """
    margin = np.broadcast_to(np.asarray(margin_per_angstrom, dtype=np.float64), (len(g_zero),))
    return _near(  # type: ignore[no-any-return]
        g_zero,
        np.ascontiguousarray(rotation),
        margin,
        _CODES.get(sweep.mode, 2),
        np.radians(sweep.half_angle_deg),
        np.radians(sweep.tilt_axis_deg),
        sweep.wavenumber,
    )
