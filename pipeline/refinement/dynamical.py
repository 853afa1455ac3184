"""Frame-wise refinement against dynamical (or, in the weak limit, kinematical) intensities.

Thickness by a scan, orientations frame by frame, then everything together; then once more from the first orientations
with the refined structure, because a frame can have turned to a false minimum while the structure was still wrong.
"""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from pipeline.refinement.frames import select_frames
from pipeline.refinement.held_out import predict_frames, split_frames
from pipeline.refinement.kinematical import step_limits
from pipeline.refinement.least_squares import Control, Fit, minimise
from pipeline.refinement.outcome import refinement_of
from pipeline.refinement.parameters import parametrise
from pipeline.refinement.pool import frame_map
from pipeline.refinement.problem import (
    Layout,
    Problem,
    Progress,
    State,
    evaluator,
    frame_tasks,
    parameter_names,
)
from pipeline.refinement.settings import DynamicalSettings
from pipeline.refinement.start import find_start, look_again
from pipeline.types import Orientation, Refinement, Reflections
from twin.files.errors import InputError
from twin.model.crystal import Crystal

_LOG_THICKNESS_STEP = 0.3
_TILT_STEP_DEG = 0.1
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
        replace(model, cell=orientation.cell),
        anisotropic=settings.anisotropic,
        occupancy=settings.occupancy,
        hydrogens=settings.hydrogens,
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
        state, _ = least_squares(problem, find_start(problem, frames), draft=True)
        state, fit = least_squares(problem, look_again(problem, state, nominal=frames, choose_beams=True) or state)
        better = look_again(problem, state, nominal=frames, choose_beams=False)
        if better is not None:
            state, fit = least_squares(problem, better)
        results = mapped(frame_tasks(problem, state, derivatives=False))
        free_r = predict_frames(problem, state, held_out)
    refined = refinement_of(problem, state, fit, results, orientation=orientation)
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


def least_squares(problem: Problem, state: State, *, draft: bool = False) -> tuple[State, Fit]:
    """Everything together, to convergence; a ``draft`` makes derivatives anew only where steps fail without."""
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
        control=_control(problem.settings, sum(len(f.hkl) for f in state.frames), draft=draft),
        progress=lambda cycle, chi2: problem.note("refinement", cycle, 100.0 * float(np.sqrt(chi2 / total))),
    )
    return replace(state, point=fit.values), fit


def _control(settings: DynamicalSettings, observations: int, *, draft: bool) -> Control:
    """χ² falls by 1/observations when one parameter moves by one s.u.: a twentieth of that is small enough."""
    if settings.single_precision:
        return Control(
            max_cycles=settings.max_cycles,
            shift_over_su=0.05,
            relative_chi2=1e-3 if draft else 0.05 / observations,
            reach=math.inf if draft else 5.0,
            joint_shift=0.1 if draft else 0.5,
        )
    return Control(max_cycles=settings.max_cycles, shift_over_su=1e-3, relative_chi2=1e-14)
