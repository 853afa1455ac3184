"""Frames that take no part in a refinement and are predicted from it: R-free by frame.

Scale, thickness and mosaicity of a frame can absorb errors of the structure. A frame held out has only what cannot be
predicted from the others: its scale and, where orientations are refined at all, its two tilts.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from pipeline.refinement.figures import figures_of_merit, optimal_scale
from pipeline.refinement.frames import FrameData
from pipeline.refinement.problem import Problem, State, mosaicity_of, thicknesses_of
from pipeline.refinement.scan import optimise_orientations
from pipeline.refinement.tasks import FrameTask


def split_frames(frames: Sequence[FrameData], *, every: int) -> tuple[tuple[FrameData, ...], tuple[FrameData, ...]]:
    """(frames to refine, frames held out): every ``every``-th is held out, beginning at the middle of the first few."""
    if every < 2:
        return tuple(frames), ()
    held = [i % every == every // 2 for i in range(len(frames))]
    return (
        tuple(f for f, out in zip(frames, held, strict=True) if not out),
        tuple(f for f, out in zip(frames, held, strict=True) if out),
    )


def predict_frames(problem: Problem, state: State, frames: Sequence[FrameData]) -> float | None:
    """R(obs) in percent of frames that were held out; None without any."""
    if not frames:
        return None
    layout, settings = problem.layout, problem.settings
    values = state.point[: layout.structure]
    thickness = np.full(len(frames), float(np.median(thicknesses_of(layout, state))))
    mosaicity = mosaicity_of(layout, state)
    if settings.refine_orientations:
        frames, _, _ = optimise_orientations(
            frame_map=problem.mapped,
            frames=frames,
            values=values,
            thickness_angstrom=thickness,
            mosaicity_deg=mosaicity,
            prior_deg=settings.orientation_sd_deg,
        )
    results = problem.mapped(
        [
            FrameTask(
                frame=f, values=values, thickness_angstrom=float(t), tilt_deg=np.zeros(2), mosaicity_deg=mosaicity
            )
            for f, t in zip(frames, thickness, strict=True)
        ]
    )
    scaled = [
        optimal_scale(intensity=f.intensity, calculated=r.intensity, weights=f.weights) * r.intensity
        for f, r in zip(frames, results, strict=True)
    ]
    merit = figures_of_merit(
        intensity=np.concatenate([f.intensity for f in frames]),
        sigma=np.concatenate([f.sigma for f in frames]),
        calculated=np.concatenate(scaled),
        parameters=0,
        instability=settings.instability,
    )
    return merit.r_obs_percent
