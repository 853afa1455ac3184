"""How far the orientations given for frames are off, as the frames themselves say.

Turns are drawn from a normal distribution about the orientations given, of one standard deviation σ for both axes and
all frames. What a frame alone would say of its turn, t, is known with the covariance D⁻¹ of its second derivatives, so
that t is normal with the covariance σ² + D⁻¹. The σ that makes all t most probable is found by expectation and
maximisation (Dempster, Laird & Rubin, J. R. Stat. Soc. B 39 (1977) 1): no choice of a spread is left to the user.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from pipeline.refinement.figures import optimal_scale
from pipeline.refinement.problem import Problem, State, frame_tasks, tilts_of
from twin.physics.lattice import Floats

_ITERATIONS = 500
_SETTLED = 1e-6
_LEAST_DEG, _MOST_DEG = 1e-3, 2.0
_EXACT = 1e-12  # of Σ w I²: a frame that fits better than this is known exactly


def turn_spread_deg(*, information: Floats, precision: Floats, start_deg: float) -> float:
    """σ in degrees, between 0.001 and 2. precision D: (F, 2, 2) in degrees⁻²; information D t: (F, 2)."""
    identity, variance = np.eye(2), start_deg**2
    for _ in range(_ITERATIONS):
        covariance = np.linalg.inv(precision + identity / variance)
        turn = covariance @ information[..., None]
        after = 0.5 * float(np.mean(np.sum(turn**2, axis=(1, 2)) + np.trace(covariance, axis1=1, axis2=2)))
        done = abs(after / variance - 1.0) < _SETTLED
        variance = float(np.clip(after, _LEAST_DEG**2, _MOST_DEG**2))
        if done:
            break
    return float(np.sqrt(variance))


def what_frames_say(problem: Problem, state: State) -> tuple[Floats, Floats]:
    """(D t (F, 2), D (F, 2, 2)) of every frame at a state, its scale eliminated and all else as it is.

    χ² of a frame is that of its own data in units of its mean residual, expanded to second order.
    """
    turns = np.array([f.turned_deg for f in state.frames]) + tilts_of(problem.layout, state)
    tasks = [replace(task, orientation=True) for task in frame_tasks(problem, state)]
    information, precision = np.zeros((len(turns), 2)), np.zeros((len(turns), 2, 2))
    for i, (frame, result) in enumerate(zip(state.frames, problem.mapped(tasks), strict=True)):
        w, c = frame.weights, result.intensity
        scale = optimal_scale(intensity=frame.intensity, calculated=c, weights=w)
        residual = frame.intensity - scale * c
        exact = _EXACT * float((w * frame.intensity**2).sum())
        unit = max(float((w * residual**2).sum()), exact) / len(c)
        rows = scale * (
            result.orientation - np.outer(result.orientation @ (w * c) / max(float(c @ (w * c)), 1e-300), c)
        )
        precision[i] = (rows * w) @ rows.T / unit
        information[i] = precision[i] @ turns[i] + (rows * w) @ residual / unit
    return information, precision
