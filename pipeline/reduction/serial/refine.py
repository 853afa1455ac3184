"""Orientation, centre and scale of every still, and the instrument, from positions and intensities together.

Positions tell centre and turn about the beam, intensities the tilts: I(h, f) = k_f F²(h) R(s), with F² from all frames
and equivalents and R the rocking curve, both settled in turn with the least squares. The cell is known, so that the
scale that the positions ask for is that of the camera length.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from pipeline.reduction.geometry import Geometry, ellipse_vector, predicted_px, stepped
from pipeline.reduction.normal import Normal, Prior, normal_equations, solve, uncertainties
from pipeline.reduction.observations import Observations
from pipeline.reduction.position_rows import excitation_rows
from pipeline.reduction.predict import Sweep
from pipeline.reduction.refine_geometry import Positions, honest_sigma, position_equations
from pipeline.reduction.rocking import Rocking
from pipeline.reduction.serial.index import small_turn
from pipeline.reduction.shares import (
    fit_rocking,
    group_numbers,
    passage,
    relative_error,
    settle,
    student_weight,
)

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

CENTRE_PRIOR_PX, TURN_PRIOR_DEG, LOG_SCALE_PRIOR = 0.7, 0.3, 0.5
ELLIPSE_PRIOR, HARMONICS_PRIOR = 0.01, 0.02
FROZEN = 1e18
LARGEST_TURN_DEG = 0.15


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class StillsFit:
    """Geometry; scale of each frame (frames,); rocking curve; relative error of the kinematical model; rms of the
    positions in px; counts that the model expects of each observation (n,); standard uncertainties of each
    still's turns about x, y, z (frames, 3) in degrees."""

    geometry: Geometry
    scale: Floats
    rocking: Rocking
    error: float
    rms_px: float
    expected: Floats
    turn_su_deg: Floats


def refine_stills(
    *,
    geometry: Geometry,
    spots: Positions,
    observations: Observations,
    sweep: Sweep,
    hall: str,
    rocking: Rocking,
    cycles: int = 12,
) -> StillsFit:
    """``geometry``: ub of the known cell at every frame's own turn, stage angles 0."""
    o, frames = observations, len(geometry.alpha_deg)
    groups, group = group_numbers(o.hkl, hall)
    now, log_scale = geometry, _first_scale(o, frames)
    f2: Floats | None = None
    error, rms = 0.2, float("nan")
    for cycle in range(1, cycles + 1):
        where = passage(o, now, sweep)
        scale = np.exp(log_scale)
        if cycle in (2, 4, 7):
            rocking = fit_rocking(
                o=o, where=where, scale=scale, group=group, groups=groups, error=error, start=rocking
            )
        p, slope = where.share(rocking)
        f2 = settle(o, p * scale[o.frame], group, groups, error, f2)
        error = relative_error(o, f2[group] * p * scale[o.frame], groups + 3 * frames)
        unit = f2[group] * scale[o.frame]
        positions, rms = _position_equations(now, spots)
        normal = _intensity_equations(now, o, unit, p, slope, error).plus(positions)
        prior = _prior(now, geometry, log_scale)
        x, own = solve(normal, prior)
        now, turned_deg = _moved(now, x, own)
        log_scale = log_scale + np.clip(own[:, 5], -0.5, 0.5)
        log_scale -= np.median(log_scale)
        if cycle > 7 and turned_deg < 0.001:
            break
    scale = np.exp(log_scale)
    share = passage(o, now, sweep).share(rocking)[0] * scale[o.frame]
    expected = settle(o, share, group, groups, error, f2)[group] * share
    return StillsFit(
        geometry=now,
        scale=scale,
        rocking=rocking,
        error=error,
        rms_px=rms,
        expected=expected,
        turn_su_deg=np.degrees(uncertainties(normal, prior)[1][:, 2:5]),
    )


def _first_scale(o: Observations, frames: int) -> Floats:
    total = np.bincount(o.frame, weights=np.maximum(o.intensity, 0.0), minlength=frames)
    log_scale = np.log(np.maximum(total, 1e-3 * max(float(np.median(total)), 1e-12)))
    return np.asarray(log_scale - np.median(log_scale))


def _metric(geometry: Geometry) -> Floats:
    """The only change of the metric that is allowed: its scale, (1, 3, 3)."""
    return np.asarray((geometry.ub.T @ geometry.ub)[None])


def _intensity_equations(
    now: Geometry, o: Observations, unit: Floats, p: Floats, slope: Floats, error: float
) -> Normal:
    model = unit * p
    shared, own = excitation_rows(geometry=now, hkl=o.hkl, frame=o.frame, metric_parameters=1, terms=6)
    own = (unit * slope)[:, None] * own
    own[:, 5] = model
    return normal_equations(
        common=np.zeros_like(shared),
        single=own,
        residual=o.intensity - model,
        weight=student_weight(o, model, error),
        frame=o.frame,
        frames=len(now.alpha_deg),
    )


def _position_equations(now: Geometry, spots: Positions) -> tuple[Normal, float]:
    predicted, _ = predicted_px(geometry=now, hkl=spots.hkl, frame=spots.frame)
    residual = spots.observed_px - predicted
    sigma = honest_sigma(residual, spots.sigma_px, freedom=3.0 * len(now.alpha_deg) + 7.0)
    used = np.hypot(residual[:, 0], residual[:, 1]) < 3.5 * sigma
    weight = np.where(used, sigma**-2.0, 0.0)
    rms = float(np.sqrt(np.mean(residual[used] ** 2))) if np.any(used) else float("nan")
    return position_equations(now, spots, residual, weight, _metric(now)), rms


def _prior(now: Geometry, start: Geometry, log_scale: Floats) -> Prior:
    """Crystal turn and azimuth are frozen (every frame has a turn of its own); the rest is held loosely."""
    shared, offset = np.zeros(11), np.zeros(11)
    shared[:3] = shared[4] = FROZEN
    shared[5:7] = ELLIPSE_PRIOR**-2
    shared[7:] = HARMONICS_PRIOR**-2
    offset[5:7] = ellipse_vector(now.microscope)
    offset[7:] = now.distortion.amplitudes
    turn = np.radians(TURN_PRIOR_DEG)
    own = np.array([CENTRE_PRIOR_PX, CENTRE_PRIOR_PX, turn, turn, turn, LOG_SCALE_PRIOR]) ** -2.0
    moved = np.column_stack([now.centre_px - start.centre_px, small_turn(now.turn, start.turn), log_scale])
    return Prior(shared=shared, shared_offset=offset, own=own, own_offset=moved)


def _moved(now: Geometry, x: Floats, own: Floats) -> tuple[Geometry, float]:
    """The geometry after a step, its scale given to the camera length, and the rms turn in degrees."""
    limit = np.radians(LARGEST_TURN_DEG)
    turn = np.clip(own[:, 2:5], -limit, limit)
    after = stepped(geometry=now, shared=x, centre=own[:, :2], turn=turn, freedom=_metric(now), rotations=None)
    grown = float(np.cbrt(np.linalg.det(after.ub) / np.linalg.det(now.ub)))
    p = after.microscope.projection
    projection = replace(p, camera_length_mm=p.camera_length_mm * grown)
    microscope = replace(after.microscope, projection=projection)
    return replace(after, ub=now.ub, microscope=microscope), float(np.degrees(np.sqrt(np.mean(turn**2))))
