"""Frame-wise refinement against dynamical (or, in the weak limit, kinematical) intensities.

Thickness by a scan, orientations frame by frame, then everything together; then once more from the first orientations
with the refined structure, because a frame can have turned to a false minimum while the structure was still wrong.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from pipeline.refinement.engine import FrameResult, turn_matrix
from pipeline.refinement.figures import figures_of_merit
from pipeline.refinement.frames import FrameData, select_frames
from pipeline.refinement.held_out import predict_frames, split_frames
from pipeline.refinement.kinematical import step_limits
from pipeline.refinement.least_squares import Control, Fit, minimise
from pipeline.refinement.parameters import crystal_of, parametrise, standard_uncertainties
from pipeline.refinement.pool import frame_map
from pipeline.refinement.problem import (
    Layout,
    Problem,
    Progress,
    State,
    evaluator,
    frame_tasks,
    mosaicity_of,
    parameter_names,
    state_at,
    thicknesses_of,
    tilts_of,
)
from pipeline.refinement.scan import frame_residual, optimise_orientations, scan_thickness
from pipeline.refinement.settings import DynamicalSettings
from pipeline.types import Orientation, Refinement, Reflections
from twin.files.errors import InputError
from twin.model.crystal import Crystal
from twin.physics.lattice import Floats

_LOG_THICKNESS_STEP = 0.3
_TILT_STEP_DEG = 0.1
_LOOKS = 2
_TURN_THAT_CHANGES_BEAMS_DEG = 0.02
_FRAMES_IN_SCAN = 12
_CELL_TOLERANCE = 0.05


def refine_dynamical(
    *,
    model: Crystal,
    orientation: Orientation,
    reflections: Reflections,
    settings: DynamicalSettings,
    workers: int = 1,
    progress: Progress | None = None,
) -> Refinement:
    """Refine ``model`` against the frames of ``reflections``.

    ``progress(stage, cycle, value)`` is called with "thickness" and "refinement" (weighted residual of I in percent)
    and "orientation" (rms turn in degrees).
    """
    _check_cell(model, orientation)
    parametrisation = parametrise(
        replace(model, cell=orientation.cell), anisotropic=settings.anisotropic, occupancy=settings.occupancy
    )
    frames, held_out = split_frames(
        select_frames(orientation=orientation, reflections=reflections, settings=settings, hall=model.hall),
        every=settings.hold_out_every,
    )
    layout = Layout(
        structure=len(parametrisation),
        thicknesses=0 if not settings.refine_thickness else len(frames) if settings.thickness_per_frame else 1,
        tilts=len(frames) if settings.refine_orientations else 0,
        frames=len(frames),
        mosaicity=int(settings.refine_mosaicity),
    )
    _check_enough(sum(len(f.hkl) for f in frames), layout, model)
    energy = orientation.microscope.beam.energy_kev
    with frame_map(parametrisation=parametrisation, settings=settings, energy_kev=energy, workers=workers) as mapped:
        problem = Problem(
            parametrisation=parametrisation,
            layout=layout,
            settings=settings,
            mapped=mapped,
            note=progress or (lambda stage, cycle, value: None),
        )
        state, fit = least_squares(problem, find_start(problem, frames))
        for look in range(_LOOKS):
            better = look_again(problem, state, nominal=frames, choose_beams=look == 0)
            if better is None:
                break
            state, fit = least_squares(problem, better)
        results = mapped(frame_tasks(problem, state, derivatives=False))
        free_r = predict_frames(problem, state, held_out)
    refined = _result(problem, state, fit, results, orientation=orientation)
    return replace(
        refined,
        held_out_frame=np.array([f.index for f in held_out], dtype=np.int64) if held_out else None,
        held_out_r_obs_percent=free_r,
    )


def _check_cell(model: Crystal, orientation: Orientation) -> None:
    for key, of_model, of_data in zip(
        ("a", "b", "c", "alpha", "beta", "gamma"), model.cell.parameters, orientation.cell.parameters, strict=True
    ):
        if abs(of_model / of_data - 1.0) > _CELL_TOLERANCE:
            raise InputError(
                f"the cell of model '{model.name}' does not match the data: {key} is {of_model:.4g}, not {of_data:.4g};"
                f" the two may differ by {100 * _CELL_TOLERANCE:.0f} % at most, in the same setting"
            )


def _check_enough(observations: int, layout: Layout, model: Crystal) -> None:
    if layout.frames == 0:
        raise InputError(
            "no frame has enough usable reflections inside the exposure: check the orientations, the space group of "
            f"'{model.name}', r_s_g_max and minimum_reflections_per_frame"
        )
    if observations <= layout.size:
        raise InputError(
            f"{observations} reflections on {layout.frames} frames cannot determine {layout.size} parameters: at least "
            "one more reflection than parameters is needed"
        )


def find_start(problem: Problem, frames: tuple[FrameData, ...]) -> State:
    """Thickness by a scan and orientations one by one, for the starting structure."""
    settings, values = problem.settings, problem.parametrisation.start
    thickness = 10.0 * settings.thickness_nm if settings.thickness_nm is not None else 0.0
    for cycle in range(2):
        if settings.thickness_nm is None:
            thickness = _scan(
                problem, frames, values, cycle, near=thickness, mosaicity_deg=settings.mosaicity_start_deg
            )
        if not settings.refine_orientations:
            break
        frames, tilt, _ = optimise_orientations(
            frame_map=problem.mapped,
            frames=frames,
            values=values,
            thickness_angstrom=np.full(len(frames), thickness),
            mosaicity_deg=settings.mosaicity_start_deg,
            prior_deg=settings.orientation_sd_deg,
            cycles=4 if cycle == 0 else 2,
        )
        problem.note("orientation", cycle, float(np.sqrt(np.mean(tilt**2))))
    return state_at(
        problem.layout,
        frames=frames,
        values=values,
        thickness_angstrom=np.full(len(frames), thickness),
        mosaicity_deg=settings.mosaicity_start_deg,
    )


def look_again(problem: Problem, state: State, *, nominal: tuple[FrameData, ...], choose_beams: bool) -> State | None:
    """With the refined structure, scan the thickness and turn suspicious frames from where they were first said to be.

    None when neither finds anything better than what the least squares has, and no frame turned so far in it that its
    beams should be chosen anew.
    """
    settings, layout = problem.settings, problem.layout
    values = state.point[: layout.structure]
    thickness, mosaicity = thicknesses_of(layout, state), mosaicity_of(layout, state)
    frames = rebased(layout, state)
    changed = choose_beams and bool(np.abs(tilts_of(layout, state)).max() > _TURN_THAT_CHANGES_BEAMS_DEG)
    if settings.thickness_nm is None and layout.thicknesses == 1:
        scanned = _scan(problem, frames, values, 2, near=float(thickness[0]), mosaicity_deg=mosaicity)
        if abs(scanned / thickness[0] - 1.0) > 0.15:
            thickness, changed = np.full(len(frames), scanned), True
    if settings.refine_orientations:
        present = problem.mapped(frame_tasks(problem, state, derivatives=False))
        now = np.array([frame_residual(f, r.intensity) for f, r in zip(frames, present, strict=True)])
        suspects = _suspects(frames, nominal, now, sd_deg=settings.orientation_sd_deg)
        if suspects:
            trial, _, residual = optimise_orientations(
                frame_map=problem.mapped,
                frames=[nominal[i] for i in suspects],
                values=values,
                thickness_angstrom=thickness[suspects],
                mosaicity_deg=mosaicity,
                cycles=4,
            )
            kept = list(frames)
            for i, frame, value in zip(suspects, trial, residual, strict=True):
                if value < (1.0 - max(0.05, 9.0 / len(frame.hkl))) * now[i]:  # nine times a reflection's mean residual
                    kept[i], changed = frame, True
            frames = tuple(kept)
    if not changed:
        return None
    return state_at(layout, frames=frames, values=values, thickness_angstrom=thickness, mosaicity_deg=mosaicity)


def _suspects(
    frames: Sequence[FrameData], nominal: Sequence[FrameData], residual: Floats, *, sd_deg: float
) -> list[int]:
    """Frames that turned by more than the orientations may be off, or that fit worse than twice the median."""
    per_reflection = residual / np.array([float((f.weights * f.intensity**2).sum()) for f in frames])
    bad = per_reflection > 2.0 * np.median(per_reflection)
    for i, (frame, first) in enumerate(zip(frames, nominal, strict=True)):
        turn = frame.reciprocal_lab @ np.linalg.inv(first.reciprocal_lab)
        bad[i] |= np.degrees(np.arccos(np.clip(turn[2, 2], -1.0, 1.0))) > sd_deg
    return [int(i) for i in np.flatnonzero(bad)]


def rebased(layout: Layout, state: State) -> tuple[FrameData, ...]:
    """Frames with their refined tilts taken into their orientation (and so into the choice of beams)."""
    return tuple(
        replace(f, reciprocal_lab=turn_matrix(tilt) @ f.reciprocal_lab)
        for f, tilt in zip(state.frames, tilts_of(layout, state), strict=True)
    )


def _scan(
    problem: Problem, frames: tuple[FrameData, ...], values: Floats, cycle: int, *, near: float, mosaicity_deg: float
) -> float:
    """T in Å with the least residual; within a factor of 2.5 of ``near`` unless that is 0."""
    chosen, settings = frames, problem.settings
    if len(frames) > _FRAMES_IN_SCAN:
        chosen = tuple(frames[i] for i in np.linspace(0, len(frames) - 1, _FRAMES_IN_SCAN).round().astype(int))
    if near > 0:
        low, high = settings.thickness_scan_nm
        span = (max(low, 0.04 * near), max(min(high, 0.25 * near), 1.5 * max(low, 0.04 * near)))
        settings = replace(settings, thickness_scan_nm=span)
    trial, residual = scan_thickness(
        frame_map=problem.mapped, frames=chosen, values=values, settings=settings, mosaicity_deg=mosaicity_deg
    )
    problem.note("thickness", cycle, 100.0 * float(np.sqrt(residual.min())))
    return float(trial[np.argmin(residual)])


def least_squares(problem: Problem, state: State) -> tuple[State, Fit]:
    """Everything together, to convergence."""
    layout = problem.layout
    limits = np.full(layout.size, np.inf)
    limits[: layout.structure] = step_limits(problem.parametrisation)
    tilts = layout.tilt_start
    limits[layout.structure : tilts] = _LOG_THICKNESS_STEP
    limits[tilts : tilts + 2 * layout.tilts] = _TILT_STEP_DEG
    total = sum(float((f.weights * f.intensity**2).sum()) for f in state.frames)
    fit = minimise(
        start=state.point,
        evaluate=evaluator(problem, state),
        observations=sum(len(f.hkl) for f in state.frames),
        names=parameter_names(problem, state.frames),
        max_shift=limits,
        rounding=(1e-10 if problem.settings.single_precision else 1e-20) * total,
        control=_control(problem.settings, sum(len(f.hkl) for f in state.frames)),
        progress=lambda cycle, chi2: problem.note("refinement", cycle, 100.0 * float(np.sqrt(chi2 / total))),
    )
    return replace(state, point=fit.values), fit


def _control(settings: DynamicalSettings, observations: int) -> Control:
    """χ² falls by 1/observations when one parameter moves by one s.u.: a twentieth of that is small enough."""
    if settings.single_precision:
        return Control(
            max_cycles=settings.max_cycles,
            shift_over_su=0.05,
            relative_chi2=0.05 / observations,
            freeze_below=2e-3,
            joint_shift=0.5,
        )
    return Control(max_cycles=settings.max_cycles, shift_over_su=1e-3, relative_chi2=1e-14)


def _result(
    problem: Problem, state: State, fit: Fit, results: Sequence[FrameResult], *, orientation: Orientation
) -> Refinement:
    layout, settings, p = problem.layout, problem.settings, problem.layout.structure
    frames = rebased(layout, state)
    scales = fit.values[layout.scale_column(0) :]
    merit = figures_of_merit(
        intensity=np.concatenate([f.intensity for f in frames]),
        sigma=np.concatenate([f.sigma for f in frames]),
        calculated=np.concatenate([k * r.intensity for k, r in zip(scales, results, strict=True)]),
        parameters=layout.size,
        instability=settings.instability,
    )
    rotation, frame_scale = orientation.rotation.copy(), np.zeros(len(orientation.rotation))
    for frame, scale in zip(frames, scales, strict=True):
        rotation[frame.index] = frame.reciprocal_lab @ np.linalg.inv(orientation.ub)
        frame_scale[frame.index] = scale
    thickness = thicknesses_of(layout, state)
    uncertainties = standard_uncertainties(problem.parametrisation, fit.covariance[:p, :p])
    if layout.thicknesses == 1 and np.isfinite(fit.covariance[p, p]):
        uncertainties["thickness_nm"] = float(0.1 * thickness[0] * np.sqrt(fit.covariance[p, p]))
    mosaic = fit.covariance[layout.mosaicity_column, layout.mosaicity_column]
    if layout.mosaicity and np.isfinite(mosaic):
        uncertainties["mosaicity_deg"] = float(mosaicity_of(layout, state) * np.sqrt(mosaic))
    return Refinement(
        kind="kinematical_frame_based" if settings.kinematical else "dynamical",
        crystal=crystal_of(problem.parametrisation, fit.values[:p]),
        parameters=layout.size,
        reflections_all=len(merit.f_obs),
        reflections_obs=int(merit.observed.sum()),
        r_obs_percent=merit.r_obs_percent,
        r_all_percent=merit.r_all_percent,
        wr_all_percent=merit.wr_all_percent,
        gof_obs=merit.gof_obs,
        hkl=np.concatenate([f.hkl for f in frames]),
        frame=np.concatenate([np.full(len(f.hkl), f.index, dtype=np.int64) for f in frames]),
        f_obs=merit.f_obs,
        f_calc=merit.f_calc,
        sigma_f=merit.sigma_f,
        observed=merit.observed,
        standard_uncertainties=uncertainties,
        thickness_nm=float(0.1 * thickness.mean()),
        mosaicity_deg=mosaicity_of(layout, state) or None,
        frame_scale=frame_scale,
        rotation=rotation,
        verdict=fit.verdict,
        cycles=fit.cycles,
    )
