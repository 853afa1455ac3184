"""Frames and nominal settings -> lattice, orientations, reflections. The truth is not opened here."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from scenarios.persist import save_json, save_npz
from scenarios.schema import Scenario
from scenarios.stages.base import Context, Outcome, Stage
from twin.files.atomic import write_text

if TYPE_CHECKING:
    from pipeline.reduction.reduce import ReducedSeries

PEAKS, ORIENTATION, REFLECTIONS, MERGED = "peaks.npz", "orientation.json", "reflections.npz", "merged.npz"
KIN_PETS, DYN_PETS, SHELX = "reflections_kin.cif_pets", "reflections_dyn.cif_pets", "kinematical.hkl"


def _settings(scenario: Scenario) -> Mapping[str, object]:
    return {"reduction": scenario.reduction.model_dump()}


def _read(context: Context) -> Any:
    from twin.files.nxmx import read_dataset

    return read_dataset(context.file("frames.nxs"))


def _work(context: Context, dataset: Any) -> Outcome:
    from pipeline.reduction.reduce import reduce_series

    context.progress.begin("reduce", total=100)
    reduced = reduce_series(
        dataset=dataset,
        g_max_per_angstrom=context.scenario.reduction.g_max_per_angstrom,
        progress=lambda step, part: context.progress.update(round(100 * part), 100),
    )
    save_npz(context.file(PEAKS), reduced.peaks)
    save_json(context.file(ORIENTATION), reduced.orientation)
    save_npz(context.file(REFLECTIONS), reduced.reflections)
    save_npz(context.file(MERGED), reduced.merged)
    _export(context, reduced, mode=dataset.mode)
    outputs = (PEAKS, ORIENTATION, REFLECTIONS, MERGED, KIN_PETS, DYN_PETS, SHELX)
    return Outcome(outputs=outputs, notes=reduced.orientation.notes)


def _export(context: Context, reduced: ReducedSeries, *, mode: str) -> None:
    """The same reflections in the dialects of PETS (Jana2020) and SHELX."""
    from pipeline.io.cif_pets import dynamical_cif_pets, kinematical_cif_pets
    from pipeline.io.shelx import shelx_text

    lattice, reflections, merged = reduced.orientation, reduced.reflections, reduced.merged
    dynamical = dynamical_cif_pets(orientation=lattice, reflections=reflections, mode=mode)
    write_text(context.file(DYN_PETS), dynamical)
    averaged = kinematical_cif_pets(orientation=lattice, merged=merged, reflections=reflections, mode=mode)
    write_text(context.file(KIN_PETS), averaged)
    write_text(context.file(SHELX), shelx_text(hkl=merged.hkl, intensity=merged.intensity, sigma=merged.sigma))


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
