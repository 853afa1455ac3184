"""The model of the solution against averaged data, and against frames with and without multiple scattering."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Final, NamedTuple

from pipeline.types import MergedReflections, Orientation, Refinement, Reflections, Solution
from scenarios.persist import load_json, load_npz, save_npz
from scenarios.reduction import STILLS
from scenarios.schema import Scenario
from scenarios.stages.base import Context, Outcome, Stage
from twin.model.crystal import Crystal

if TYPE_CHECKING:
    from pipeline.refinement.settings import DynamicalSettings

KINEMATICAL_CIF, DYNAMICAL_CIF = "kinematical.cif", "dynamical.cif"
AVERAGED: Final = "kinematical_averaged"
NON_AVERAGED: Final = "kinematical_non_averaged"
FRAME_BASED: Final = "kinematical_frame_based"
DYNAMICAL: Final = "dynamical"


class _Data(NamedTuple):
    solution: Solution
    merged: MergedReflections
    orientation: Orientation
    reflections: Reflections


def refinement_file(kind: str) -> str:
    """Where the refinement of this kind lies."""
    return f"refinement_{kind}.npz"


def _read(context: Context) -> _Data:
    return _Data(
        solution=load_npz(Solution, context.file("solution.npz")),
        merged=load_npz(MergedReflections, context.file("merged.npz")),
        orientation=load_json(Orientation, context.file("orientation.json")),
        reflections=load_npz(Reflections, context.file("reflections.npz")),
    )


def _model(solution: Solution) -> Crystal:
    if solution.crystal is None:
        raise ValueError(f"there is no model to refine ({solution.verdict})")
    return solution.crystal


def _kinematical(context: Context, data: _Data) -> Outcome:
    from pipeline.reduction.merge import unmerged
    from pipeline.refinement.kinematical import refine_kinematical
    from pipeline.solution.laue import in_class_of_group

    model, table, lattice = _model(data.solution), context.scenario.refinement, data.orientation
    context.progress.begin("refine, kinematical", total=1 + table.non_averaged)
    merged = in_class_of_group(
        hall=model.hall, merged=data.merged, observations=lambda: unmerged(data.reflections, ub=lattice.ub)
    )
    averaged = refine_kinematical(
        model=model, merged=merged, kind=AVERAGED, anisotropic=table.anisotropic, occupancy=table.occupancies
    )
    outputs, notes = [_save(context, averaged), KINEMATICAL_CIF], [averaged.verdict]
    _write_cif(context, KINEMATICAL_CIF, averaged)
    context.progress.advance()
    if table.non_averaged:
        observations = unmerged(data.reflections, ub=lattice.ub, centring=lattice.centring)
        loose = refine_kinematical(
            model=averaged.crystal,
            merged=observations,
            kind=NON_AVERAGED,
            anisotropic=table.anisotropic,
            occupancy=table.occupancies,
        )
        outputs.append(_save(context, loose))
        context.progress.advance()
    return Outcome(outputs=tuple(outputs), notes=tuple(notes))


def _dynamical_settings(scenario: Scenario, *, kinematical: bool) -> DynamicalSettings:
    from pipeline.refinement.settings import DynamicalSettings

    table, mode = scenario.refinement, scenario.acquisition.mode
    return DynamicalSettings(
        mode="stills" if mode == "serial" else mode,
        g_max_per_angstrom=table.g_max_per_angstrom,
        s_g_max_per_angstrom=table.s_g_max_per_angstrom,
        r_s_g_max=table.r_s_g_max,
        reflection_g_max_per_angstrom=scenario.reduction.g_max_per_angstrom,
        steps=table.steps,
        thickness_model=table.thickness_model,
        thickness_scan_nm=table.thickness_scan_nm,
        refine_orientations=table.refine_orientations,
        anisotropic=table.anisotropic,
        occupancy="common" if table.interaction == "refined" and not kinematical else table.occupancies,
        kinematical=kinematical,
        max_cycles=table.max_cycles,
        single_precision=table.precision == "single",
    )


def _frame_based(context: Context, data: _Data) -> Outcome:
    return _on_frames(context, data, kind=FRAME_BASED)


def _dynamical(context: Context, data: _Data) -> Outcome:
    if context.scenario.acquisition.mode == "serial":
        from pipeline.reduction.serial.quality import StillsQuality, why_no_dynamical_refinement

        quality = load_json(StillsQuality, context.file(STILLS))
        if reason := why_no_dynamical_refinement(quality, data.reflections):
            raise ValueError(reason)
    outcome = _on_frames(context, data, kind=DYNAMICAL)
    _write_cif(context, DYNAMICAL_CIF, load_npz(Refinement, context.file(refinement_file(DYNAMICAL))))
    return Outcome(outputs=(*outcome.outputs, DYNAMICAL_CIF), notes=outcome.notes)


def _on_frames(context: Context, data: _Data, *, kind: str) -> Outcome:
    from pipeline.refinement.dynamical import refine_dynamical

    context.progress.begin(f"refine, {kind.replace('_', ' ')}")
    start = _start_model(context, data)
    settings = _dynamical_settings(context.scenario, kinematical=kind == FRAME_BASED)
    refinement = refine_dynamical(
        model=start,
        orientation=data.orientation,
        reflections=data.reflections,
        settings=settings,
        workers=context.workers,
        progress=lambda stage, cycle, value: context.progress.advance(),
    )
    notes = [refinement.verdict]
    if settings.occupancy == "common":
        strength = refinement.crystal.sites[0].occupancy / start.sites[0].occupancy
        notes.append(f"strength of multiple scattering {strength:.3f} (1: all of it, 0: the frames show none)")
    return Outcome(outputs=(_save(context, refinement),), notes=tuple(notes))


def _start_model(context: Context, data: _Data) -> Crystal:
    """The averaged kinematical refinement's crystal where there is one, else the solution's."""
    path = context.file(refinement_file(AVERAGED))
    if path.is_file() and context.folder.manifest().stages.get(KINEMATICAL.name) is not None:
        return load_npz(Refinement, path).crystal
    return _model(data.solution)


def _save(context: Context, refinement: Refinement) -> str:
    name = refinement_file(refinement.kind)
    save_npz(context.file(name), refinement)
    return name


def _write_cif(context: Context, name: str, refinement: Refinement) -> None:
    from twin.files.cif import write_crystal

    crystal = replace(refinement.crystal, name=f"{context.name} {refinement.kind}")
    write_crystal(crystal, context.file(name), su=refinement.standard_uncertainties)


def _settings(scenario: Scenario) -> Mapping[str, object]:
    return {
        "refinement": scenario.refinement.model_dump(),
        "reduction": scenario.reduction.model_dump(),
        "mode": scenario.acquisition.mode,
    }


_INPUTS = ("solution.npz", "merged.npz", "orientation.json", "reflections.npz")
_SOURCES = ("pipeline/refinement", "pipeline/types", "twin/physics", "twin/derivatives", "scenarios/stages/refine")

KINEMATICAL = Stage(
    name="refine_kinematical",
    title="Kinematical refinement",
    sources=(*_SOURCES, "pipeline/reduction", "pipeline/solution/laue"),
    inputs=lambda scenario: _INPUTS,
    settings=_settings,
    read=_read,
    work=_kinematical,
    wanted=lambda scenario: scenario.refinement.kinematical and scenario.solution.enabled,
    forgiving=True,
)


def _frame_inputs(scenario: Scenario) -> tuple[str, ...]:
    stills = (STILLS,) if scenario.acquisition.mode == "serial" else ()
    return (*_INPUTS, *stills, *((refinement_file(AVERAGED),) if scenario.refinement.kinematical else ()))


FRAMES = Stage(
    name="refine_frame_based",
    title="Kinematical refinement on frames",
    sources=_SOURCES,
    inputs=_frame_inputs,
    settings=_settings,
    read=_read,
    work=_frame_based,
    wanted=lambda scenario: scenario.refinement.frame_based and scenario.solution.enabled,
    forgiving=True,
)
DYNAMIC = Stage(
    name="refine_dynamical",
    title="Dynamical refinement",
    sources=(*_SOURCES, "pipeline/reduction/serial/quality"),
    inputs=_frame_inputs,
    settings=_settings,
    read=_read,
    work=_dynamical,
    wanted=lambda scenario: scenario.refinement.dynamical and scenario.solution.enabled,
    forgiving=True,
)
