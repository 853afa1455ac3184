"""Averaged intensities -> a structural model, with the composition as the only other knowledge."""

from __future__ import annotations

from collections.abc import Mapping

from pipeline.types import MergedReflections, Orientation, Reflections
from scenarios.build import formula_for_solution
from scenarios.persist import load_json, load_npz, save_npz
from scenarios.schema import Scenario
from scenarios.solving import seed_of, solved
from scenarios.stages.base import Context, Outcome, Stage

SOLUTION = "solution.npz"
SOLUTION_CIF, SOLUTION_RES, SOLUTION_MAP = "solution.cif", "solution.res", "solution.ccp4"


def _settings(scenario: Scenario) -> Mapping[str, object]:
    return {
        "solution": scenario.solution.model_dump(),
        "composition": formula_for_solution(scenario),
        "seed": seed_of(scenario),
    }


Data = tuple[MergedReflections, Orientation, Reflections]


def _read(context: Context) -> Data:
    merged = load_npz(MergedReflections, context.file("merged.npz"))
    orientation = load_json(Orientation, context.file("orientation.json"))
    return merged, orientation, load_npz(Reflections, context.file("reflections.npz"))


def _work(context: Context, data: Data) -> Outcome:
    from pipeline.solution.output import ccp4_map, shelx_res
    from twin.files.atomic import write_bytes, write_text
    from twin.files.cif import write_crystal
    from twin.physics.electrons import wavelength_angstrom

    merged, orientation, reflections = data
    context.progress.begin("solve")
    solution = solved(context.scenario, merged=merged, orientation=orientation, reflections=reflections,
                      progress=context.progress.update)  # fmt: skip
    save_npz(context.file(SOLUTION), solution)
    for name in (SOLUTION_CIF, SOLUTION_RES, SOLUTION_MAP):
        context.file(name).unlink(missing_ok=True)
    if solution.crystal is None:
        return Outcome(outputs=(SOLUTION,), notes=(solution.verdict,))
    write_crystal(solution.crystal, context.file(SOLUTION_CIF))
    energy = orientation.microscope.beam.energy_kev
    wavelength = wavelength_angstrom(energy_kev=energy)
    write_text(context.file(SOLUTION_RES), shelx_res(solution.crystal, wavelength_angstrom=wavelength))
    outputs = [SOLUTION, SOLUTION_CIF, SOLUTION_RES]
    if solution.density is not None:
        write_bytes(context.file(SOLUTION_MAP), ccp4_map(solution.crystal, solution.density))
        outputs.append(SOLUTION_MAP)
    return Outcome(outputs=tuple(outputs), notes=(solution.verdict,))


STAGE = Stage(
    name="solve",
    title="Solution",
    sources=(
        "pipeline/solution",
        "pipeline/reduction",
        "pipeline/types",
        "twin/physics",
        "twin/files/ccp4",
        "scenarios/stages/solve",
        "scenarios/solving",
    ),
    inputs=lambda scenario: ("merged.npz", "orientation.json", "reflections.npz"),
    settings=_settings,
    read=_read,
    work=_work,
    wanted=lambda scenario: scenario.solution.enabled,
    forgiving=True,
)
