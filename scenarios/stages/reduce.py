"""Frames and nominal settings -> lattice, orientations, reflections. The truth is not opened here."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from scenarios.persist import save_json, save_npz
from scenarios.schema import Scenario
from scenarios.stages.base import Context, Outcome, Stage
from twin.files.atomic import write_text
from twin.files.errors import InputError
from twin.model.crystal import Cell

if TYPE_CHECKING:
    from pipeline.reduction.reduce import ReducedSeries
    from pipeline.reduction.serial.assemble import SerialReduction

PEAKS, ORIENTATION, REFLECTIONS, MERGED = "peaks.npz", "orientation.json", "reflections.npz", "merged.npz"
STILLS = "stills.json"  # of serial series only
KIN_PETS, DYN_PETS, SHELX = "reflections_kin.cif_pets", "reflections_dyn.cif_pets", "kinematical.hkl"


def _settings(scenario: Scenario) -> Mapping[str, object]:
    return {"reduction": scenario.reduction.model_dump()}


def _read(context: Context) -> Any:
    from twin.files.nxmx import read_dataset

    return read_dataset(context.file("frames.nxs"))


def _reduced(context: Context, dataset: Any) -> ReducedSeries | SerialReduction:
    from pipeline.reduction.reduce import reduce_series
    from pipeline.reduction.serial.known import known_lattice
    from pipeline.reduction.serial.reduce import reduce_serial

    def progress(step: str, part: float) -> None:
        context.progress.update(round(100 * part), 100)

    table = context.scenario.reduction
    if dataset.mode != "serial":
        return reduce_series(dataset=dataset, g_max_per_angstrom=table.g_max_per_angstrom, progress=progress)
    if table.cell_angstrom_deg is None or table.laue is None:
        raise InputError("a serial series needs reduction.cell_angstrom_deg and reduction.laue")
    a, b, c, alpha, beta, gamma = table.cell_angstrom_deg
    cell = Cell(a_angstrom=a, b_angstrom=b, c_angstrom=c, alpha_deg=alpha, beta_deg=beta, gamma_deg=gamma)
    return reduce_serial(
        dataset=dataset,
        known=known_lattice(cell=cell, laue=table.laue, centring=table.centring or "P"),
        given_centring=table.centring is not None,
        g_max_per_angstrom=table.g_max_per_angstrom,
        progress=progress,
    )


def _work(context: Context, dataset: Any) -> Outcome:
    from pipeline.reduction.serial.assemble import SerialReduction

    context.progress.begin("reduce", total=100)
    reduced = _reduced(context, dataset)
    save_npz(context.file(PEAKS), reduced.peaks)
    save_json(context.file(ORIENTATION), reduced.orientation)
    save_npz(context.file(REFLECTIONS), reduced.reflections)
    save_npz(context.file(MERGED), reduced.merged)
    _export(context, reduced, mode=dataset.mode)
    outputs = [PEAKS, ORIENTATION, REFLECTIONS, MERGED, KIN_PETS, DYN_PETS, SHELX]
    if isinstance(reduced, SerialReduction):
        save_json(context.file(STILLS), reduced.quality)
        outputs.append(STILLS)
    return Outcome(outputs=tuple(outputs), notes=reduced.orientation.notes)


def _export(context: Context, reduced: ReducedSeries | SerialReduction, *, mode: str) -> None:
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
