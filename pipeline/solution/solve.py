"""Structure solution without a space group: phases, group, atoms, and a verdict."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from pipeline.solution.attempt import Attempt, modelled, promising, settled
from pipeline.solution.elements import is_mixed
from pipeline.solution.flipping import Complexes, flip_charges
from pipeline.solution.groups import Candidate
from pipeline.solution.options import DEFAULT, FlipOptions
from pipeline.solution.output import model_phased_density
from pipeline.solution.problem import Problem, pose
from pipeline.solution.symmetrise import CYCLES
from pipeline.solution.trying import examined, try_groups, try_phases
from pipeline.solution.verdict import choose
from pipeline.types import MergedReflections, Solution
from twin.model.crystal import Cell

BATCH = 4
LONGER = 4  # times the cycles of the first batch: incomplete data converge slowly
LENIENT = 0.6  # of the agreement asked of a group: incomplete data leave the phases vague, the tests of models stay
TESTED = 3  # models tested by omission after each batch of starts

Progress = Callable[[int, int], None]
Untried = dict[int, tuple[Complexes, tuple[Candidate, ...]]]  # phases of a start and the groups not tried on them


def solve_structure(
    *, merged: MergedReflections, cell: Cell, composition: str, seed: int, starts: int = 8,
    options: FlipOptions = DEFAULT, density_angstrom3_per_formula: float | None = None,
    progress: Progress | None = None,
) -> Solution:  # fmt: skip
    """Phases by charge flipping in P1, the space group from the phases, atoms from the density; see docs/theory.md.

    composition: formula unit, such as 'In2O3'. density_angstrom3_per_formula: volume of a formula unit in Å³ if known.
    starts: random starts at most; fewer are used when a model explains the data early, unless ``options`` ask for
    all. ``progress(done, total)``.
    """
    problem = pose(merged=merged, cell=cell, composition=composition, volume_angstrom3=density_angstrom3_per_formula)
    generator = np.random.Generator(np.random.Philox(np.random.SeedSequence([seed, 0x736F6C76])))
    attempts: list[Attempt] = []
    residuals: list[float] = []
    for done in range(0, starts, BATCH):
        batch = min(BATCH, starts - done)
        attempts, found = _after_batch(problem, attempts, generator, range(done, done + batch), options)
        residuals += found
        if progress is not None:
            progress(done + batch, starts)
        if settled(attempts) and options.repeat == "nosuccess":
            break
    solution = choose(problem.spots, attempts, residuals=residuals)
    if solution.crystal is None:
        return solution
    return replace(solution, density=model_phased_density(problem.spots, solution.crystal))


def _after_batch(
    problem: Problem, attempts: list[Attempt], generator: np.random.Generator, numbers: range, options: FlipOptions
) -> tuple[list[Attempt], list[float]]:
    """The attempts with those of some more starts, tested, and the residuals of these starts.

    It ends early when a model has passed its test. Batches after the first try harder: longer, and with groups
    that the phases support less.
    """
    harder = numbers.start > 0
    spots = problem.spots
    phased, residual = flip_charges(hkl=problem.primitive_hkl, e=spots.e, level=spots.level, measured=spots.measured,
                                    starts=len(numbers), generator=generator, options=options,
                                    cycles=options.cycles * (LONGER if harder else 1))  # fmt: skip
    untried: Untried = {}
    residuals = [float(r) for r in residual]
    for number, f in zip(numbers, phased, strict=True):
        found, rest = try_phases(problem, f, start=number, lenience=LENIENT if harder else 1.0)
        untried[number] = (f, rest)
        attempts = attempts + found
        if promising(attempts):
            attempts = _with_lower_groups(problem, examined(problem, attempts, generator, most=1), generator, untried)
            if settled(attempts):
                return attempts, residuals
    attempts = _with_lower_groups(problem, examined(problem, attempts, generator, most=TESTED), generator, untried)
    return attempts, residuals


def _with_lower_groups(
    problem: Problem, attempts: list[Attempt], generator: np.random.Generator, untried: Untried
) -> list[Attempt]:
    """The groups not tried because a model looked convincing, when it fails its test or mixes elements on positions.

    Positions that elements share may be positions that a lower group tells apart.
    """
    best = next(iter(modelled(attempts)), None)
    if best is None or best.model is None or best.start not in untried:
        return attempts
    if not best.doubts and not is_mixed(best.model.atoms):
        return attempts
    f, rest = untried.pop(best.start)
    if not rest:
        return attempts
    found, _ = try_groups(problem, f, rest, start=best.start, cycles=CYCLES, every=True)
    return attempts + examined(problem, found, generator, most=TESTED)
