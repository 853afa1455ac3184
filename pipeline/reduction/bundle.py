"""Lattice, tilt axis, distortions, and centre, turn and scale of each frame, from positions and intensities together.

Positions tell the centre and the turn about the beam of a frame, intensities its tilts: a tilt moves reflections
through the edge of the sweep. Both tell the azimuth of the axis and the turn of the crystal. F², the rocking curve and
the relative error of the model are settled in turn with the least squares. Frames stray from the goniometer by amounts
that two halves of the data agree on (looseness.py): none on a smooth one. (PETS2 compares simulated and observed
frames in the same spirit; Palatinus et al., Acta Cryst. B75 (2019) 512.)
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from pipeline.reduction.distortion import TERMS
from pipeline.reduction.geometry import Geometry, metric_freedom, predicted_px, scale_alone, stepped
from pipeline.reduction.looseness import Looseness, estimated_looseness, frame_prior
from pipeline.reduction.normal import Normal, effective_parameters, normal_equations, solve, uncertainties
from pipeline.reduction.observations import Observations
from pipeline.reduction.position_rows import CENTRE, SPIN, excitation_rows
from pipeline.reduction.predict import Sweep
from pipeline.reduction.refine_geometry import (
    SPOTS_FOR_HARMONICS,
    Positions,
    frame_offsets,
    honest_sigma,
    position_equations,
    shared_prior,
)
from pipeline.reduction.rocking import SHAPES, Rocking, Shape
from pipeline.reduction.shares import (
    Passage,
    fit_rocking,
    group_numbers,
    passage,
    relative_error,
    settle,
    student_weight,
)

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]

AXIS_PRIOR_DEG = 1.5
ELLIPSE_PRIOR = 0.01
LARGEST_TILT_STEP_DEG = 0.15
STEADY_DEG = 0.0005  # movement of the frames in a cycle below which nothing more is expected
SHAPES_JUDGED = 4  # cycle in which other shapes of the rocking curve are tried
JUDGED = (2, 4, 7, 10)  # cycles in which the rocking curve is fitted and harmonics that show nothing are dropped
SIGNIFICANT = 4.0  # standard deviations that a harmonic of the distortion must have to be kept


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class BundleFit:
    """Geometry, scale of each frame (frames,), rocking curve, how far frames stray, relative error of the model of the
    intensities, expected intensities (n,) in counts, rms of the stronger half of the positions in px, standard
    deviations (frames, 3) of the turns about x, y, z, and of the azimuth of the tilt axis."""

    geometry: Geometry
    scale: Floats
    rocking: Rocking
    looseness: Looseness
    error: float
    expected: Floats
    rms_px: float
    turn_sd_deg: Floats
    axis_sd_deg: float


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _State:
    geometry: Geometry
    log_scale: Floats
    rocking: Rocking
    looseness: Looseness
    error: float
    f2: Floats | None
    freedom: float  # parameters that the frames' positions really have
    harmonics: Bools  # (4,) which terms of the distortion are free


def fitted_positions(o: Observations, model: Floats, error: float, *, largest_sigma_px: float = 1.0) -> Positions:
    """Where the profile fits found the spots: moments over the amplitudes that model and count together promise.

    A weak spot cannot be asked for its own amplitude: those that noise made strong would be believed too much.
    """
    if o.moment_px is None or o.moment_sigma_px is None:
        raise ValueError("fitted_positions: these observations carry no moments; integrate the frames again")
    trust = 1.0 / np.maximum(error * model, 1e-9) ** 2
    count = 1.0 / o.variance(model)
    amplitude = np.maximum((trust * model + count * o.intensity) / (trust + count), 1e-9)
    own = np.flatnonzero(o.moment_sigma_px < largest_sigma_px * amplitude)
    moved = o.moment_px[own] / amplitude[own, None]
    return Positions(
        hkl=o.hkl[own],
        frame=o.frame[own],
        observed_px=np.stack([o.fast_px[own], o.slow_px[own]], axis=1) + moved,
        sigma_px=o.moment_sigma_px[own] / amplitude[own],
    )


def _model(state: _State, o: Observations, where: Passage, group: Ints) -> tuple[Floats, Floats]:
    """Intensities (n,) that a state expects, in counts, and their derivatives by s."""
    assert state.f2 is not None
    p, slope = where.share(state.rocking)
    unit = state.f2[group] * np.exp(state.log_scale)[o.frame]
    return unit * p, unit * slope


def _intensity_halves(
    state: _State, o: Observations, where: Passage, group: Ints, metric_parameters: int
) -> tuple[tuple[Normal, Normal], Floats]:
    """Normal equations of the intensities, reflections of even and of odd numbers apart, and the model."""
    model, unit_slope = _model(state, o, where, group)
    weight = student_weight(o, model, state.error)
    residual = o.intensity - model
    shared, own = excitation_rows(
        geometry=state.geometry, hkl=o.hkl, frame=o.frame, metric_parameters=metric_parameters, terms=6
    )
    rise = unit_slope[:, None]
    own = rise * own
    own[:, 5] = model
    halves = [
        normal_equations(
            common=rise * shared,
            single=own,
            residual=residual,
            weight=np.where(half, weight, 0.0),
            frame=o.frame,
            frames=len(state.log_scale),
        )
        for half in (group % 2 == 0, group % 2 == 1)
    ]
    return (halves[0], halves[1]), model


def _position_halves(state: _State, spots: Positions, metric: Floats) -> tuple[tuple[Normal, Normal], float]:
    now = state.geometry
    predicted, _ = predicted_px(geometry=now, hkl=spots.hkl, frame=spots.frame)
    residual = spots.observed_px - predicted
    sigma = honest_sigma(residual, spots.sigma_px, freedom=state.freedom)
    used = np.hypot(residual[:, 0], residual[:, 1]) < 3.5 * sigma
    weight = np.where(used, sigma**-2.0, 0.0)
    even = np.arange(len(sigma)) % 2 == 0
    halves = [position_equations(now, spots, residual, np.where(h, weight, 0.0), metric) for h in (even, ~even)]
    strong = used & (spots.sigma_px < np.median(spots.sigma_px))
    rms = float(np.sqrt(np.mean(residual[strong] ** 2))) if np.any(strong) else float("nan")
    return (halves[0], halves[1]), rms


def refine_bundle(
    *,
    geometry: Geometry,
    centre_px: Floats,
    observations: Observations,
    sweep: Sweep,
    hall: str,
    rotations: Ints | None,
    rocking: Rocking,
    log_scale: Floats | None = None,
    cycles: int = 14,
    fixed_shape: bool = False,
) -> BundleFit:
    """``centre_px``: (frames, 2) as the direct beam shows them. ``rotations``: operations that the metric obeys.
    ``fixed_shape``: the cell is known but for its scale."""
    o = observations
    freedom = scale_alone(geometry.ub) if fixed_shape else metric_freedom(rotations)
    groups, group = group_numbers(o.hkl, hall)
    parameters = groups + 3 * len(geometry.alpha_deg)
    state = _State(
        geometry=geometry,
        log_scale=np.zeros(len(geometry.alpha_deg)) if log_scale is None else log_scale,
        rocking=rocking,
        looseness=Looseness(),
        error=0.2,
        f2=None,
        freedom=10.0,
        harmonics=np.ones(TERMS, dtype=bool),
    )
    deviations = (np.zeros(0), np.zeros((len(geometry.alpha_deg), 6)))
    rms = float("nan")
    for cycle in range(1, cycles + 1):
        where = passage(o, state.geometry, sweep)
        shapes = SHAPES if cycle == SHAPES_JUDGED else (state.rocking.shape,) if cycle in JUDGED else ()
        state = _settled(state, o, where, group, groups, parameters, shapes)
        halves, expected = _intensity_halves(state, o, where, group, len(freedom))
        spots = fitted_positions(o, expected, state.error)
        seen, rms = _position_halves(state, spots, freedom)
        both = (halves[0].plus(seen[0]), halves[1].plus(seen[1]))
        offset = frame_offsets(state.geometry, centre_px, state.log_scale)
        if cycle >= 3:
            state = replace(state, looseness=estimated_looseness(both, offset, before=state.looseness, known="all"))
        prior = frame_prior(
            state.looseness,
            offset,
            *shared_prior(
                state.geometry,
                axis_moved_deg=_azimuth(state.geometry) - _azimuth(geometry),
                metric_parameters=len(freedom),
                ellipse=ELLIPSE_PRIOR,
                axis_deg=AXIS_PRIOR_DEG,
                harmonics=state.harmonics & (len(spots.hkl) >= SPOTS_FOR_HARMONICS),
            ),
        )
        normal = both[0].plus(both[1])
        deviations = uncertainties(normal, prior)
        if cycle in JUDGED:
            clear = np.abs(state.geometry.distortion.amplitudes) > SIGNIFICANT * deviations[0][-TERMS:]
            state = replace(state, harmonics=state.harmonics & clear)
        freedom_of_frames = effective_parameters(normal, prior)
        state = replace(state, freedom=10.0 + float(np.sum(freedom_of_frames[[*CENTRE, *SPIN]])))
        x, own = solve(normal, prior)
        state, largest = _moved(state, x, own, freedom, rotations)
        if cycle > SHAPES_JUDGED and largest < STEADY_DEG:
            break
    where = passage(o, state.geometry, sweep)
    state = _settled(state, o, where, group, groups, parameters, ())
    return BundleFit(
        geometry=state.geometry,
        scale=np.exp(state.log_scale),
        rocking=state.rocking,
        looseness=state.looseness,
        error=state.error,
        expected=_model(state, o, where, group)[0],
        rms_px=rms,
        turn_sd_deg=np.degrees(deviations[1][:, 2:5]),
        axis_sd_deg=float(np.degrees(deviations[0][3 + len(freedom)])),
    )


def _azimuth(geometry: Geometry) -> float:
    return geometry.microscope.projection.tilt_axis_deg


def _settled(
    state: _State,
    o: Observations,
    where: Passage,
    group: Ints,
    groups: int,
    parameters: int,
    shapes: tuple[Shape, ...],
) -> _State:
    """F², the relative error of the model and the rocking curve (of one of ``shapes``) for the present geometry."""
    scale = np.exp(state.log_scale)
    rocking = state.rocking
    if shapes:
        rocking = fit_rocking(
            o=o,
            where=where,
            scale=scale,
            group=group,
            groups=groups,
            error=state.error,
            start=rocking,
            shapes=shapes,
        )
    share = where.share(rocking)[0] * scale[o.frame]
    f2 = settle(o, share, group, groups, state.error, state.f2)
    error = relative_error(o, f2[group] * share, parameters)
    return replace(state, rocking=rocking, f2=f2, error=error)


def _moved(state: _State, x: Floats, own: Floats, freedom: Floats, rotations: Ints | None) -> tuple[_State, float]:
    """The state after a step, and the rms of the frames' turns in degrees."""
    limit = np.radians(LARGEST_TILT_STEP_DEG)
    turn = np.clip(own[:, 2:5], -limit, limit)
    geometry = stepped(
        geometry=state.geometry, shared=x, centre=own[:, :2], turn=turn, freedom=freedom, rotations=rotations
    )
    log_scale = state.log_scale + np.clip(own[:, 5], -0.5, 0.5)
    largest = float(np.degrees(np.sqrt(np.mean(turn**2)) + np.linalg.norm(x[:3])))
    return replace(state, geometry=geometry, log_scale=log_scale - np.median(log_scale)), largest
