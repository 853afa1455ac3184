"""Averaged intensities -> a structural model, with the composition as the only other knowledge."""

from __future__ import annotations

from collections.abc import Mapping

from pipeline.types import MergedReflections, Orientation
from scenarios.build import formula_for_solution, solution_seed
from scenarios.persist import load_json, load_npz, save_npz
from scenarios.schema import Scenario
from scenarios.stages.base import Context, Outcome, Stage

SOLUTION = "solution.npz"
SOLUTION_CIF = "solution.cif"


def _settings(scenario: Scenario) -> Mapping[str, object]:
    return {
        "solution": scenario.solution.model_dump(),
        "composition": formula_for_solution(scenario),
        "seed": solution_seed(scenario),
    }


def _read(context: Context) -> tuple[MergedReflections, Orientation]:
    merged = load_npz(MergedReflections, context.file("merged.npz"))
    return merged, load_json(Orientation, context.file("orientation.json"))


def _work(context: Context, data: tuple[MergedReflections, Orientation]) -> Outcome:
    from pipeline.solution.solve import solve_structure
    from twin.files.cif import write_crystal

    merged, orientation = data
    context.progress.begin("solve")
    solution = solve_structure(
        merged=merged,
        cell=orientation.cell,
        composition=formula_for_solution(context.scenario),
        seed=solution_seed(context.scenario),
        starts=context.scenario.solution.starts,
        progress=context.progress.update,
    )
    save_npz(context.file(SOLUTION), solution)
    context.file(SOLUTION_CIF).unlink(missing_ok=True)
    if solution.crystal is None:
        return Outcome(outputs=(SOLUTION,), notes=(solution.verdict,))
    write_crystal(solution.crystal, context.file(SOLUTION_CIF))
    return Outcome(outputs=(SOLUTION, SOLUTION_CIF), notes=(solution.verdict,))


STAGE = Stage(
    name="solve",
    title="Solution",
    sources=("pipeline/solution", "pipeline/types", "twin/physics", "scenarios/stages/solve"),
    inputs=lambda scenario: ("merged.npz", "orientation.json"),
    settings=_settings,
    read=_read,
    work=_work,
    wanted=lambda scenario: scenario.solution.enabled,
    forgiving=True,
)
