"""Where the least squares begins, and where it looks again once the structure is better: thickness and orientations."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from pipeline.refinement.frames import FrameData
from pipeline.refinement.problem import (
    Layout,
    Problem,
    State,
    frame_tasks,
    mosaicity_of,
    state_at,
    thicknesses_of,
    tilts_of,
)
from pipeline.refinement.scan import frame_residual, optimise_orientations, scan_thickness, turned_frame
from twin.physics.lattice import Floats

_TURN_THAT_CHANGES_BEAMS_DEG = 0.02
_FRAMES_IN_SCAN = 12
_SURE = 3.0  # standard deviations
_MOSAICITIES = (1.0, 0.5, 2.0, 3.0)  # in units of the one that is known


def find_start(problem: Problem, frames: tuple[FrameData, ...]) -> State:
    """Thickness by a scan and orientations one by one, for the starting structure."""
    settings, values = problem.settings, problem.parametrisation.start
    thickness = 10.0 * settings.thickness_nm if settings.thickness_nm is not None else 0.0
    mosaicity = settings.mosaicity_start_deg
    for cycle in range(2):
        if settings.thickness_nm is None:
            around = settings.refine_mosaicity and cycle > 0
            thickness, mosaicity = _scan(
                problem, frames, values, cycle, near=thickness, mosaicity_deg=mosaicity, around=around
            )
            frames = tuple(replace(f, blocks_deg=mosaicity) for f in frames)
        if not settings.refine_orientations:
            break
        frames, tilt, _ = optimise_orientations(
            frame_map=problem.mapped,
            few_beams=problem.few_beams,
            frames=frames,
            values=values,
            thickness_angstrom=np.full(len(frames), thickness),
            mosaicity_deg=mosaicity,
            prior_deg=settings.orientation_sd_deg,
            cycles=3 if cycle == 0 else 1,
        )
        problem.note("orientation", cycle, float(np.sqrt(np.mean(tilt**2))))
    return state_at(
        problem.layout,
        frames=frames,
        values=values,
        thickness_angstrom=np.full(len(frames), thickness),
        mosaicity_deg=mosaicity,
    )


def look_again(problem: Problem, state: State, *, nominal: tuple[FrameData, ...]) -> State | None:
    """With the refined structure, scan the thickness and turn suspicious frames from where they were first said to be.

    None when neither finds anything better than what the least squares has, and no frame turned so far in it that its
    beams should be chosen anew.
    """
    settings, layout = problem.settings, problem.layout
    values = state.point[: layout.structure]
    thickness, mosaicity = thicknesses_of(layout, state), mosaicity_of(layout, state)
    frames = rebased(layout, state)
    changed = turned_far(layout, state)
    if settings.thickness_nm is None and layout.thicknesses == 1:
        near, before = float(thickness[0]), mosaicity
        around = layout.mosaicity > 0
        scanned, mosaicity = _scan(problem, frames, values, 2, near=near, mosaicity_deg=before, around=around)
        if abs(scanned / near - 1.0) > 0.15 or mosaicity != before:
            thickness, changed = np.full(len(frames), scanned), True
            frames = tuple(replace(f, blocks_deg=mosaicity) for f in frames)
    if settings.refine_orientations:
        present = problem.mapped(frame_tasks(problem, state))
        now = np.array([frame_residual(f, r.intensity) for f, r in zip(frames, present, strict=True)])
        limit = settings.orientation_sd_deg * (_SURE if settings.estimate_orientation_sd else 1.0)
        suspects = _suspects(frames, nominal, now, limit_deg=limit)
        if suspects:
            trial, _, residual = optimise_orientations(
                frame_map=problem.mapped,
                few_beams=problem.few_beams,
                frames=[nominal[i] for i in suspects],
                values=values,
                thickness_angstrom=thickness[suspects],
                mosaicity_deg=mosaicity,
                prior_deg=settings.orientation_sd_deg if settings.restrain_orientations else None,
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
    frames: Sequence[FrameData], nominal: Sequence[FrameData], residual: Floats, *, limit_deg: float
) -> list[int]:
    """Frames that turned by more than the orientations may be off, or that fit worse than twice the median."""
    per_reflection = residual / np.array([float((f.weights * f.intensity**2).sum()) for f in frames])
    bad = per_reflection > 2.0 * np.median(per_reflection)
    for i, (frame, first) in enumerate(zip(frames, nominal, strict=True)):
        turn = frame.reciprocal_lab @ np.linalg.inv(first.reciprocal_lab)
        bad[i] |= np.degrees(np.arccos(np.clip(turn[2, 2], -1.0, 1.0))) > limit_deg
    return [int(i) for i in np.flatnonzero(bad)]


def turned_far(layout: Layout, state: State) -> bool:
    """Whether a frame has turned so far in the least squares that its beams should be chosen anew."""
    return bool(np.abs(tilts_of(layout, state)).max() > _TURN_THAT_CHANGES_BEAMS_DEG)


def moved_into_frames(layout: Layout, state: State) -> State:
    """The same state with tilts of zero."""
    structure = layout.structure
    return state_at(
        layout,
        frames=rebased(layout, state),
        values=state.point[:structure],
        thickness_angstrom=thicknesses_of(layout, state),
        mosaicity_deg=mosaicity_of(layout, state),
    )


def rebased(layout: Layout, state: State) -> tuple[FrameData, ...]:
    """Frames with their refined tilts taken into their orientation (and so into the choice of beams)."""
    turned = (turned_frame(f, tilt) for f, tilt in zip(state.frames, tilts_of(layout, state), strict=True))
    return tuple(replace(f, blocks_deg=mosaicity_of(layout, state)) if layout.mosaicity else f for f in turned)


def _scan(
    problem: Problem,
    frames: tuple[FrameData, ...],
    values: Floats,
    cycle: int,
    *,
    near: float,
    mosaicity_deg: float,
    around: bool,
) -> tuple[float, float]:
    """(T in Å, mosaicity in degrees) with the least residual; T within a factor of 2.5 of ``near`` unless that is 0.

    ``around``: try mosaicities on both sides of the one given; χ² has more than one minimum in it for thick crystals.
    """
    chosen, settings = frames, problem.settings
    if len(frames) > _FRAMES_IN_SCAN:
        chosen = tuple(frames[i] for i in np.linspace(0, len(frames) - 1, _FRAMES_IN_SCAN).round().astype(int))
    if near > 0:
        low, high = settings.thickness_scan_nm
        span = (max(low, 0.04 * near), max(min(high, 0.25 * near), 1.5 * max(low, 0.04 * near)))
        settings = replace(settings, thickness_scan_nm=span)
    best = (np.inf, 0.0, 0.0)
    for factor in _MOSAICITIES if around else (1.0,):
        trial, residual = scan_thickness(
            frame_map=problem.mapped,
            few_beams=problem.few_beams,
            frames=[replace(f, blocks_deg=factor * mosaicity_deg) for f in chosen],
            values=values,
            settings=settings,
            mosaicity_deg=factor * mosaicity_deg,
        )
        best = min(best, (float(residual.min()), float(trial[np.argmin(residual)]), factor * mosaicity_deg))
    problem.note("thickness", cycle, 100.0 * float(np.sqrt(best[0])))
    return best[1:]
