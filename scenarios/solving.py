"""The structure solution as a scenario asks for it: from its tables to a call of the solver."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields

from pipeline.solution.options import FlipOptions
from pipeline.types import MergedReflections, Orientation, Reflections, Solution
from scenarios.build import formula_for_solution, solution_seed
from scenarios.schema import Scenario


def flip_options(scenario: Scenario) -> FlipOptions:
    """Options of charge flipping."""
    return FlipOptions(**scenario.solution.model_dump(include={field.name for field in fields(FlipOptions)}))


def seed_of(scenario: Scenario) -> int:
    """Seed of the solution: its own when the scenario gives one, else the scenario's."""
    own = scenario.solution.seed
    return solution_seed(scenario) if own is None else own


def solved(
    scenario: Scenario, *, merged: MergedReflections, orientation: Orientation, reflections: Reflections,
    progress: Callable[[int, int], None] | None = None,
) -> Solution:  # fmt: skip
    """The solution of averaged intensities; other Laue classes are tried where single intensities are there."""
    from pipeline.reduction.merge import unmerged
    from pipeline.solution.laue import solve_in_any_class

    return solve_in_any_class(
        merged=merged,
        observations=None if reflections.partiality is None else unmerged(reflections, ub=orientation.ub),
        cell=orientation.cell,
        composition=formula_for_solution(scenario),
        seed=seed_of(scenario),
        starts=scenario.solution.starts,
        options=flip_options(scenario),
        progress=progress,
    )[0]
