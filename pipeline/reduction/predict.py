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
def _near(g_zero, rows, rotation, margin, code, angle, phi, wavenumber, index, g, s, half, at):  # type: ignore[no-untyped-def]
    """Write what one frame excites among ``rows`` to index, g, s and half from ``at`` on; where it ends."""
    cosine, sine = np.cos(phi), np.sin(phi)
    down, across = (np.cos(angle), np.sin(angle)) if code == 0 else (1.0, angle)
    for i in rows:
        a, b, c = g_zero[i, 0], g_zero[i, 1], g_zero[i, 2]
        z = rotation[2, 0] * a + rotation[2, 1] * b + rotation[2, 2] * c
        square = a * a + b * b + c * c
        off = -z * down - square / (2 * wavenumber)
        beyond = abs(off) - margin[i]
        if beyond > 0.0 and beyond * beyond > across * across * square:  # no sweep is wider than ``across`` |g|
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
            index[at], s[at], half[at] = i, off, width
            g[at, 0], g[at, 1], g[at, 2] = x, y, z
            at += 1
    return at


@njit(cache=True)
def _in_block(g_zero, middle, turned, margin, code, angle, wavenumber):  # type: ignore[no-untyped-def]
    """Rows that a frame may excite whose third row of the rotation lies within ``turned`` of ``middle``."""
    down, across = (np.cos(angle), np.sin(angle)) if code == 0 else (1.0, angle)
    reach2 = (across + turned) ** 2
    rows = np.empty(g_zero.shape[0], dtype=np.int64)
    n = 0
    for i in range(g_zero.shape[0]):
        a, b, c = g_zero[i, 0], g_zero[i, 1], g_zero[i, 2]
        square = a * a + b * b + c * c
        off = (middle[0] * a + middle[1] * b + middle[2] * c) * down + square / (2 * wavenumber)
        beyond = abs(off) - margin[i]
        if beyond <= 0.0 or beyond * beyond <= reach2 * square:
            rows[n] = i
            n += 1
    return rows[:n]


@njit(cache=True)
def _grown(a, size):  # type: ignore[no-untyped-def]
    out = np.empty((size, *a.shape[1:]), dtype=a.dtype)
    out[: a.shape[0]] = a
    return out


@njit(cache=True)
def _near_series(g_zero, rotation, margin, code, angle, phi, wavenumber, block):  # type: ignore[no-untyped-def]
    frames = rotation.shape[0]
    size = 4 * g_zero.shape[0] + 1024
    index, s, half = np.empty(size, dtype=np.int64), np.empty(size), np.empty(size)
    g = np.empty((size, 3))
    ends = np.empty(frames, dtype=np.int64)
    at = 0
    for first in range(0, frames, block):
        last = min(first + block, frames)
        middle = rotation[(first + last) // 2, 2]
        turned = 0.0
        for f in range(first, last):
            turned = max(turned, np.sqrt(np.sum((rotation[f, 2] - middle) ** 2)))
        rows = _in_block(g_zero, middle, turned, margin, code, angle, wavenumber)
        for f in range(first, last):
            if at + rows.shape[0] > size:
                size = 2 * size + rows.shape[0]
                index, s, half, g = _grown(index, size), _grown(s, size), _grown(half, size), _grown(g, size)
            at = _near(g_zero, rows, rotation[f], margin, code, angle, phi, wavenumber, index, g, s, half, at)
            ends[f] = at
    return index[:at].copy(), ends, g[:at].copy(), s[:at].copy(), half[:at].copy()


BLOCK = 12  # frames whose reflections are looked for among those that the whole block may excite


def near_spheres(
    *, g_zero: Floats, rotation: Floats, sweep: Sweep, margin_per_angstrom: Floats | float
) -> tuple[Ints, Ints, Floats, Floats, Floats]:
    """Reflections (of ``g_zero`` (n, 3) at tilt 0) within ``margin_per_angstrom`` of the sweep of each frame.

    rotation: (frames, 3, 3). Their numbers (m,) and frames (m,), ascending; g in the laboratory (m, 3), s and half of
    the sweep (m,).
    """
    margin = np.broadcast_to(np.asarray(margin_per_angstrom, dtype=np.float64), (len(g_zero),))
    index, ends, g, s, half = _near_series(
        np.ascontiguousarray(g_zero, dtype=np.float64),
        np.ascontiguousarray(rotation),
        np.ascontiguousarray(margin),
        _CODES.get(sweep.mode, 2),
        np.radians(sweep.half_angle_deg),
        np.radians(sweep.tilt_axis_deg),
        sweep.wavenumber,
        BLOCK,
    )
    return index, np.repeat(np.arange(len(rotation)), np.diff(ends, prepend=0)), g, s, half


def near_sphere(
    *, g_zero: Floats, rotation: Floats, sweep: Sweep, margin_per_angstrom: Floats | float
) -> tuple[Ints, Floats, Floats, Floats]:
    """The same for one frame, rotation (3, 3)."""
    index, _, g, s, half = near_spheres(
        g_zero=g_zero, rotation=rotation[None], sweep=sweep, margin_per_angstrom=margin_per_angstrom
    )
    return index, g, s, half
