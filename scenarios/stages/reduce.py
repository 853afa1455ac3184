"""Frames and nominal settings -> lattice, orientations, reflections. The truth is not opened here."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from scenarios.reduction import reduce_dataset, write_reduction
from scenarios.schema import Scenario
from scenarios.stages.base import Context, Outcome, Stage
from twin.model.crystal import Cell

_CELL = ("a_angstrom", "b_angstrom", "c_angstrom", "alpha_deg", "beta_deg", "gamma_deg")


def _settings(scenario: Scenario) -> Mapping[str, object]:
    return {"reduction": scenario.reduction.model_dump()}


def _read(context: Context) -> Any:
    from twin.files.nxmx import read_dataset

    return read_dataset(context.file("frames.nxs"))


def _work(context: Context, dataset: Any) -> Outcome:
    def progress(step: str, part: float) -> None:
        context.progress.update(round(100 * part), 100)

    context.progress.begin("reduce", total=100)
    table = context.scenario.reduction
    values = table.cell_angstrom_deg
    reduced = reduce_dataset(
        dataset,
        cell=None if values is None else Cell(**dict(zip(_CELL, values, strict=True))),
        laue=table.laue,
        centring=table.centring,
        g_max_per_angstrom=table.g_max_per_angstrom,
        progress=progress,
    )
    name = context.scenario.title or dataset.name
    outputs = write_reduction(context.folder.path, reduced, mode=dataset.mode, name=name)
    return Outcome(outputs=outputs, notes=reduced.orientation.notes)


STAGE = Stage(
    name="reduce",
    title="Reduction",
    sources=(
        "pipeline/reduction",
        "pipeline/io",
        "pipeline/types",
        "twin/physics",
        "scenarios/stages/reduce",
        "scenarios/reduction",
    ),
    inputs=lambda scenario: ("frames.nxs",),
    settings=_settings,
    read=_read,
    work=_work,
    forgiving=True,
)
