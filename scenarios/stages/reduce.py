"""Frames and nominal settings -> lattice, orientations, reflections. The truth is not opened here."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from scenarios.persist import save_json, save_npz
from scenarios.schema import Scenario
from scenarios.stages.base import Context, Outcome, Stage

PEAKS, ORIENTATION, REFLECTIONS, MERGED = "peaks.npz", "orientation.json", "reflections.npz", "merged.npz"
KIN_PETS, DYN_PETS, SHELX = "reflections_kin.cif_pets", "reflections_dyn.cif_pets", "kinematical.hkl"


def _settings(scenario: Scenario) -> Mapping[str, object]:
    return {"reduction": scenario.reduction.model_dump()}


def _read(context: Context) -> Any:
    from twin.files.nxmx import read_dataset

    return read_dataset(context.file("frames.nxs"))


def _work(context: Context, dataset: Any) -> Outcome:
    from pipeline.reduction.reduce import reduce_series

    context.progress.begin("reduce")
    reduced = reduce_series(dataset=dataset, g_max_per_angstrom=context.scenario.reduction.g_max_per_angstrom)
    save_npz(context.file(PEAKS), reduced.peaks)
    save_json(context.file(ORIENTATION), reduced.orientation)
    save_npz(context.file(REFLECTIONS), reduced.reflections)
    save_npz(context.file(MERGED), reduced.merged)
    return Outcome(outputs=(PEAKS, ORIENTATION, REFLECTIONS, MERGED), notes=reduced.orientation.notes)


STAGE = Stage(
    name="reduce",
    title="Reduction",
    sources=("pipeline/reduction", "pipeline/io", "pipeline/types", "twin/physics", "scenarios/stages/reduce"),
    inputs=lambda scenario: ("frames.nxs",),
    settings=_settings,
    read=_read,
    work=_work,
    forgiving=True,
)
