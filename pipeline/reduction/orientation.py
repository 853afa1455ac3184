"""Orientation of each frame from intensities: a tilt moves reflections through the edge of the sweep.

Model: I(h, f) = k_f F²(h) P(s), P the relrod averaged over the exposure. F² comes from all frames and equivalents,
k and
two tilts of each frame from least squares with a relative error that allows for multiple scattering; then again.
(PETS2 compares simulated and observed frames in the same spirit; Palatinus et al., Acta Cryst. B75 (2019) 512.)
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipeline.reduction.observations import Observations, partialities
from pipeline.reduction.predict import Sweep, exposure_average
from twin.physics.lattice import rotation_matrix
from twin.physics.symmetry import asymmetric_hkl

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class TiltFit:
    """rotation (frames, 3, 3), scale (frames,), effective diameter, tilts (frames, 2) in degrees, weighted misfit."""

    rotation: Floats
    scale: Floats
    diameter_angstrom: float
    tilt_deg: Floats
    misfit: float
    cycles: int


def group_numbers(hkl: Ints, hall: str) -> tuple[Ints, Ints]:
    """Unique representatives (m, 3) under the Laue class and the group of each reflection (n,)."""
    unique, inverse = np.unique(asymmetric_hkl(hkl, hall, friedel=True), axis=0, return_inverse=True)
    return unique, np.asarray(inverse).reshape(-1)


def merged_intensity(*, intensity: Floats, model_share: Floats, weight: Floats, group: Ints, groups: int) -> Floats:
    """F² = Σ w I p / Σ w p² in each group, never negative; (groups,)."""
    top = np.bincount(group, weights=weight * intensity * model_share, minlength=groups)
    below = np.bincount(group, weights=weight * model_share**2, minlength=groups)
    return np.asarray(np.maximum(top / np.maximum(below, 1e-30), 0.0))


def _weights(sigma: Floats, model: Floats, observed: Floats, error: float) -> Floats:
    variance = sigma**2 + (error * np.maximum(model, 0.0)) ** 2
    deviation2 = (observed - model) ** 2 / variance
    return np.asarray(1.0 / variance / (1.0 + deviation2 / 9.0))


def _frame_step(
    *,
    o: Observations,
    model: Floats,
    slope: Floats,
    g: Floats,
    weight: Floats,
    frames: int,
    prior_deg: float,
    tilt: Floats,
    log_scale: Floats,
) -> Floats:
    """Changes of log k and of the tilts about x and y, (frames, 3); tilts in radians."""
    jacobian = np.stack([model, -slope * g[:, 1], slope * g[:, 0]], axis=1)
    normal = np.zeros((frames, 3, 3))
    right = np.zeros((frames, 3))
    np.add.at(normal, o.frame, weight[:, None, None] * jacobian[:, :, None] * jacobian[:, None, :])
    np.add.at(right, o.frame, (weight * (o.intensity - model))[:, None] * jacobian)
    pull = np.array([1 / 0.3**2, 1 / np.radians(prior_deg) ** 2, 1 / np.radians(prior_deg) ** 2])
    normal += np.diag(pull)
    right -= pull * np.column_stack([log_scale, tilt])
    return np.asarray(np.linalg.solve(normal, right[..., None])[..., 0])


def refine_tilts(
    *,
    observations: Observations,
    rotation: Floats,
    ub: Floats,
    sweep: Sweep,
    hall: str,
    diameter_angstrom: float,
    cycles: int = 12,
    error: float = 0.2,
    prior_deg: float = 0.3,
) -> TiltFit:
    """Refine k, two tilts per frame and the width of the relrod against the merged intensities."""
    o = observations
    frames = len(rotation)
    unique, group = group_numbers(o.hkl, hall)
    log_scale, tilt = np.zeros(frames), np.zeros((frames, 2))
    d = diameter_angstrom
    base = rotation
    f2: Floats | None = None
    misfit = float("inf")
    now = base
    cycle = 0
    for cycle in range(1, cycles + 1):
        now = turned(base, tilt)
        p, s, half, g = partialities(observations=o, rotation=now, ub=ub, sweep=sweep, diameter_angstrom=d)
        share = p * np.exp(log_scale)[o.frame]
        f2 = _settle(o, share, group, len(unique), error, f2)
        if cycle in (2, 4, 7, 10):
            d = _best_diameter(o, s, half, log_scale, group, len(unique), error, d, sweep, f2)
            p, s, half, g = partialities(observations=o, rotation=now, ub=ub, sweep=sweep, diameter_angstrom=d)
            share = p * np.exp(log_scale)[o.frame]
            f2 = _settle(o, share, group, len(unique), error, f2)
        model = f2[group] * share
        step = 0.05 / d
        rise = exposure_average(s=s + step, half_sweep=half, diameter_angstrom=d, mode=sweep.mode)
        fall = exposure_average(s=s - step, half_sweep=half, diameter_angstrom=d, mode=sweep.mode)
        slope = (rise - fall) / (2 * step) * model / np.maximum(p, 1e-12)
        weight = _weights(o.sigma, model, o.intensity, error)
        misfit = float(np.sum(weight * (o.intensity - model) ** 2) / len(model))
        change = _frame_step(
            o=o,
            model=model,
            slope=slope,
            g=g,
            weight=weight,
            frames=frames,
            prior_deg=prior_deg,
            tilt=tilt,
            log_scale=log_scale,
        )
        limit = np.radians(0.15)
        log_scale = log_scale + np.clip(change[:, 0], -0.5, 0.5)
        log_scale -= np.median(log_scale)
        tilt = tilt + np.clip(change[:, 1:], -limit, limit)
        if float(np.sqrt(np.mean(np.degrees(change[:, 1:]) ** 2))) < 0.002 and cycle > 7:
            break
    return TiltFit(
        rotation=turned(base, tilt),
        scale=np.exp(log_scale),
        diameter_angstrom=d,
        tilt_deg=np.degrees(tilt),
        misfit=misfit,
        cycles=cycle,
    )


def turned(rotation: Floats, tilt: Floats) -> Floats:
    """Each frame's rotation followed by a small turn (x, y in radians) in the laboratory."""
    turns = [
        rotation_matrix(axis=[t[0], t[1], 0.0], angle_deg=float(np.degrees(np.hypot(*t)))) if np.any(t) else np.eye(3)
        for t in tilt
    ]
    return np.asarray(np.stack(turns) @ rotation)


def _settle(o: Observations, share: Floats, group: Ints, groups: int, error: float, f2: Floats | None) -> Floats:
    if f2 is None:
        f2 = merged_intensity(
            intensity=o.intensity, model_share=share, weight=1 / o.sigma**2, group=group, groups=groups
        )
    for _ in range(3):
        weight = _weights(o.sigma, f2[group] * share, o.intensity, error)
        f2 = merged_intensity(intensity=o.intensity, model_share=share, weight=weight, group=group, groups=groups)
    return f2


def _best_diameter(
    o: Observations,
    s: Floats,
    half: Floats,
    log_scale: Floats,
    group: Ints,
    groups: int,
    error: float,
    start: float,
    sweep: Sweep,
    f2: Floats,
) -> float:
    """Effective diameter that fits best, on a logarithmic grid with a parabola through its minimum."""

    def misfit(d: float) -> float:
        share = (
            exposure_average(s=s, half_sweep=half, diameter_angstrom=d, mode=sweep.mode) * np.exp(log_scale)[o.frame]
        )
        fitted = _settle(o, share, group, groups, error, f2)
        model = fitted[group] * share
        variance = o.sigma**2 + (error * model) ** 2
        return float(np.sum(np.log1p((o.intensity - model) ** 2 / variance / 9.0) + np.log(variance) / 9.0))

    grid = np.log(start) + np.arange(-3, 4) * 0.16
    for _ in range(4):
        values = np.array([misfit(float(np.exp(v))) for v in grid])
        low = int(np.argmin(values))
        if 0 < low < len(grid) - 1:
            a, b, c = values[low - 1 : low + 2]
            return float(np.exp(grid[low] + 0.5 * (grid[1] - grid[0]) * (a - c) / (a - 2 * b + c)))
        grid = grid + (grid[low] - grid[3])
    return float(np.clip(np.exp(grid[3]), 15.0, 5000.0))
