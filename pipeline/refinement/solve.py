"""Everything together, to convergence, and what the data say about how well each number is known."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from pipeline.refinement.figures import optimal_scale
from pipeline.refinement.kinematical import step_limits
from pipeline.refinement.least_squares import Fit
from pipeline.refinement.partitioned import Descent, Ending, Terms, descend, remaining_shift
from pipeline.refinement.problem import Problem, State, parameter_names
from pipeline.refinement.terms import FrameTerms, Slopes
from pipeline.refinement.uncertainty import clusters_of, honest_covariance
from twin.physics.lattice import Floats

_LOG_THICKNESS_STEP = 0.3
_TILT_STEP_DEG = 0.1
_DRAFT, _SINGLE, _DOUBLE = 0.5, 0.2, 1e-3
_RENEWALS = 4
_NOISELESS = 1e-6  # of Σ w I²: 0.1 % of the amplitudes, which no measurement has
_STEPS_A_CYCLE = 3  # the slope of χ² costs a third of the derivatives of every intensity, or less
_LITTLE = 0.01  # of what one s.u. of one parameter does to χ²
_ROUNDING = {True: 1e-10, False: 1e-20}  # of Σ w I²


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Solution:
    """Where a least squares ended, and the second derivatives of each frame that it learned."""

    descent: Descent
    terms: FrameTerms

    @property
    def matrices(self) -> tuple[Floats, ...]:
        return self.descent.matrices


def solve(problem: Problem, state: State, *, matrices: tuple[Floats, ...] | None = None) -> tuple[State, Solution]:
    """Refine everything from ``state``; ``matrices`` of the terms to begin with, from derivatives when None."""
    terms = FrameTerms(problem, state)
    start = state.point[: terms.free]
    if matrices is None:
        matrices = tuple(terms.matrices(start, terms.slopes(start)))
    found = _descend(problem, terms, start, matrices, patience=3)
    return terms.at(found.values), Solution(descent=found, terms=terms)


def finished(problem: Problem, found: Solution) -> tuple[State, Fit, tuple[Floats, ...]]:
    """The end of a least squares, once derivatives made there agree that it is one: state with scales, covariance, and
    the intensities of every frame there.

    What was learned may overstate second derivatives, and so understate what is left. Where Gauss and Newton's matrix
    sees more, steps go on from it; derivatives are made again only when these lead away by more than one s.u.
    """
    terms, descent, cycles = found.terms, found.descent, found.descent.cycles
    for _ in range(_RENEWALS):
        slopes = terms.slopes(descent.values)
        matrices = terms.matrices(descent.values, slopes)
        factor = max(descent.terms.total / max(1, _freedom(problem, terms)), 1e-300)
        left = remaining_shift(descent.terms, matrices, terms.columns, factor=factor)
        if left < _enough(problem) or not descent.converged:
            break
        before = descent
        descent = _descend(problem, terms, before.values, tuple(matrices), patience=1, begun=before.terms)
        cycles += descent.cycles
        moved = descent.values - before.values
        away = sum(float(moved[c] @ m @ moved[c]) for c, m in zip(terms.columns, matrices, strict=True))
        if away < factor:
            break
    return *_with_scales(problem, terms, replace(descent, cycles=cycles), slopes), descent.terms.calculated


def _descend(
    problem: Problem,
    terms: FrameTerms,
    start: Floats,
    matrices: tuple[Floats, ...],
    *,
    patience: int,
    begun: Terms | None = None,
) -> Descent:
    settings, frames = problem.settings, terms.frames
    total = sum(float((f.weights * f.intensity**2).sum()) for f in frames)
    return descend(
        start=start,
        columns=terms.columns,
        matrices=matrices,
        evaluate=terms.evaluate,
        max_shift=_limits(problem)[: terms.free],
        ending=Ending(
            max_cycles=_STEPS_A_CYCLE * settings.max_cycles,
            joint_shift=_enough(problem),
            relative_chi2=_LITTLE / sum(len(f.hkl) for f in frames),
            rounding=_ROUNDING[settings.single_precision] * total,
            freedom=_freedom(problem, terms),
            noiseless=_NOISELESS * total,
            patience=patience,
        ),
        begun=begun,
        progress=lambda cycle, chi2: problem.note("refinement", cycle, 100.0 * float(np.sqrt(chi2 / total))),
    )


def _with_scales(problem: Problem, terms: FrameTerms, descent: Descent, slopes: Sequence[Slopes]) -> tuple[State, Fit]:
    """State and fit with the scales of the frames, and the covariance of everything."""
    chi2, state = descent.terms.total, terms.at(descent.values)
    covariance, lost = honest_covariance(
        normal=terms.normal(descent.values, slopes),
        slopes=slopes,
        clusters=clusters_of(terms.frames, problem.parametrisation.crystal.hall),
        factor=chi2 / max(1, _freedom(problem, terms)),
    )
    scales = [
        optimal_scale(intensity=f.intensity, calculated=calculated, weights=f.weights)
        for f, calculated in zip(terms.frames, descent.terms.calculated, strict=True)
    ]
    state = replace(state, point=np.concatenate([descent.values, scales]))
    begun = f"{'converged in' if descent.converged else 'stopped after'} {descent.cycles} cycles"
    names = parameter_names(problem, terms.frames)
    undetermined = "; not determined by the data: " + ", ".join(names[i] for i in lost[:6]) if lost else ""
    fit = Fit(
        values=state.point,
        covariance=covariance,
        chi2=chi2,
        cycles=descent.cycles,
        converged=descent.converged,
        verdict=f"{begun}: {descent.why}{undetermined}",
        singular=lost,
        history=descent.history,
    )
    return state, fit


def _freedom(problem: Problem, terms: FrameTerms) -> int:
    return sum(len(f.hkl) for f in terms.frames) - problem.layout.size


def _enough(problem: Problem) -> float:
    """Remaining shift of everything together, in s.u., below which a least squares has converged."""
    return _DRAFT if problem.few_beams else _SINGLE if problem.settings.single_precision else _DOUBLE


def _limits(problem: Problem) -> Floats:
    """(size,) largest shift of each parameter in one step."""
    layout = problem.layout
    limits = np.full(layout.size, np.inf)
    limits[: layout.structure] = step_limits(problem.parametrisation)
    limits[layout.structure : layout.tilt_start] = _LOG_THICKNESS_STEP
    limits[layout.tilt_start : layout.tilt_start + 2 * layout.tilts] = _TILT_STEP_DEG
    return limits
