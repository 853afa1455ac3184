"""Frame-wise refinement against dynamical (or, in the weak limit, kinematical) intensities.

Thickness by a scan, orientations frame by frame, then everything together; then once more from the first orientations
with the refined structure, because a frame can have turned to a false minimum while the structure was still wrong.
All of that with few beams, which costs a fifth, before the full set brings it to its end.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from pipeline.refinement.frames import FrameData, select_frames
from pipeline.refinement.held_out import predict_frames, split_frames
from pipeline.refinement.outcome import refinement_of
from pipeline.refinement.parameters import parametrise
from pipeline.refinement.pool import frame_map
from pipeline.refinement.problem import Layout, Problem, Progress
from pipeline.refinement.settings import DynamicalSettings
from pipeline.refinement.solve import Solution, finished, solve
from pipeline.refinement.spread import turn_spread_deg, what_frames_say
from pipeline.refinement.start import find_start, look_again, moved_into_frames, turned_far
from pipeline.types import Orientation, Refinement, Reflections
from twin.files.errors import InputError
from twin.model.crystal import Crystal

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
        problem, found = _improved(replace(problem, few_beams=True), problem, frames)
        state, fit, calculated = finished(problem, found)
        free_r = predict_frames(problem, state, held_out)
    refined = refinement_of(problem, state, fit, calculated, orientation=orientation)
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


def with_spread(problem: Problem, spread_deg: float) -> Problem:
    """The problem with another standard deviation of the orientations given."""
    return replace(problem, settings=replace(problem.settings, orientation_sd_deg=spread_deg))


def _improved(draft: Problem, problem: Problem, frames: tuple[FrameData, ...]) -> tuple[Problem, Solution]:
    """Drafts from a start that is searched for, then everything; a second time where a second look finds better.

    The last look is taken with the draft's beams, and with all of them only where those see something better.
    The problem comes back with the spread of orientations that was found.
    """
    state = find_start(draft, frames)
    state, found = solve(draft, state)
    if problem.settings.estimate_orientation_sd and problem.layout.tilts:
        information, precision = what_frames_say(draft, state)
        start_deg = problem.settings.orientation_sd_deg
        spread_deg = turn_spread_deg(information=information, precision=precision, start_deg=start_deg)
        problem.note("spread", 0, spread_deg)
        draft, problem = (with_spread(p, spread_deg) for p in (draft, problem))
    again = look_again(draft, state, nominal=frames)
    if again is not None:
        state, found = solve(draft, again, matrices=found.matrices)
    state, found = solve(problem, moved_into_frames(problem.layout, state), matrices=found.matrices)
    if not turned_far(problem.layout, state) and look_again(draft, state, nominal=frames) is None:
        return problem, found
    again = look_again(problem, state, nominal=frames)
    if again is not None:
        state, found = solve(problem, again, matrices=found.matrices)
        if turned_far(problem.layout, state):
            found = solve(problem, moved_into_frames(problem.layout, state), matrices=found.matrices)[1]
    return problem, found
