"""Refinement of a model against a measured .cif_pets file: a run folder without a twin.

A file that lists frames is refined frame by frame; one with a line a reflection kinematically, non-averaged and
averaged. Written are, for each refinement, a CIF, the list of F_o and F_c and the difference potential; summary.json
and report.html for all of them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from time import perf_counter
from typing import Literal

import numpy as np

from pipeline.io.cif_pets import PetsFile
from pipeline.refinement.averaged import merged_list, read_list
from pipeline.refinement.convergence import check_cut_offs
from pipeline.refinement.dynamical import refine_dynamical
from pipeline.refinement.figures import INSTABILITY
from pipeline.refinement.hand import HandVerdict, compare_hands
from pipeline.refinement.kinematical import refine_kinematical
from pipeline.refinement.measured import MeasuredSeries, cell_of_group, default_settings, read_series
from pipeline.refinement.settings import DynamicalSettings
from pipeline.types import Refinement
from scenarios.measured.options import Treatment, override
from scenarios.measured.output import Findings, claim, write_refinement, write_report, write_summary
from twin.files.cif import read_crystal
from twin.files.errors import InputError
from twin.model.crystal import Crystal
from twin.physics.lattice import Floats

Say = Callable[[str], None]
_CELL_TOLERANCE = 0.03  # relative; distortions of the pattern are left in cells of electron diffraction
_UNITS = {"orientation": "degrees rms turn", "spread": "degrees, how far the orientations given are off"}
Kind = Literal["kinematical_averaged", "kinematical_non_averaged"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """folder: where everything lies; refinements in the order in which they were made; checks: sentences."""

    folder: Path
    refinements: tuple[Refinement, ...]
    checks: tuple[str, ...] = ()


def refine_measured(
    *,
    data: Path,
    model: Path,
    folder: Path,
    treatments: Sequence[Treatment],
    sets: Sequence[str] = (),
    hands: bool = False,
    workers: int = 1,
    overwrite: bool = False,
    say: Say = lambda sentence: None,
) -> Outcome:
    """Refine ``model`` against ``data`` and write the folder. ``hands``: also refine the other hand and compare."""
    pets, crystal = read_list(data), read_model(model)
    if pets is None:
        series = read_series(data, hall=crystal.hall)
        settings = override(default_settings(series, crystal), sets)
        claim(folder, overwrite)
        found = _of_frames(series, crystal, settings, treatments, hands=hands, workers=workers, say=say)
    else:
        if "dynamical" in treatments and len(treatments) == 1:
            raise InputError(f"{data}: one line a reflection; a dynamical refinement needs what each frame shows of it")
        if sets or hands:
            raise InputError(f"{data}: one line a reflection; --set and --hands are for files that list frames")
        claim(folder, overwrite)
        found = _of_list(pets, crystal, source=str(data))
    for refinement in found.refinements:
        if refinement.reflections_obs == 0:
            raise InputError(f"{data}: none of the {refinement.reflections_all} reflections used is above 3σ")
    found = replace(found, data=data.name, model=model.name)
    instability = INSTABILITY if found.settings is None else found.settings.instability
    maps = [write_refinement(folder, r, instability=instability) for r in found.refinements]
    write_summary(folder, found)
    write_report(folder, found, maps)
    return Outcome(folder=folder, refinements=found.refinements, checks=found.checks)


def read_model(path: Path) -> Crystal:
    """A CIF, or a SHELX .res or .ins file; a measured cell need not obey the group, it is made to."""
    if path.suffix.lower() in (".res", ".ins"):
        from pipeline.io.shelx_model import read_shelx_model

        return read_shelx_model(path)
    crystal = read_crystal(path, cell_tolerance=_CELL_TOLERANCE)
    return replace(crystal, cell=cell_of_group(crystal.cell, crystal.hall)[0])


def _of_frames(
    series: MeasuredSeries,
    crystal: Crystal,
    settings: DynamicalSettings,
    treatments: Sequence[Treatment],
    *,
    hands: bool,
    workers: int,
    say: Say,
) -> Findings:
    for note in series.notes:
        say(note)
    done: list[Refinement] = []
    timings: dict[str, float] = {}
    checks: list[str] = []
    change: dict[str, float] = {}
    verdict: HandVerdict | None = None
    for treatment in treatments:
        started = perf_counter()
        chosen = replace(settings, kinematical=treatment == "kinematical")

        def refine(model: Crystal, chosen: DynamicalSettings = chosen, name: str = treatment) -> Refinement:
            return _refine(series, model, chosen, name, workers=workers, say=say)

        if hands and treatment == "dynamical":
            verdict = compare_hands(crystal, refine=refine)
            checks.append(verdict.verdict)
            done.append(verdict.given)
        else:
            done.append(refine(crystal))
        if treatment == "dynamical":
            checked = check_cut_offs(
                refinement=done[-1], orientation=series.orientation, reflections=series.reflections, settings=chosen
            )
            checks.append(checked.verdict)
            change = checked.change_percent
        timings[treatment] = perf_counter() - started
    return Findings(
        data="", model="", notes=series.notes, settings=settings, frames=len(series.zone_id),
        refinements=tuple(done), timings_s=timings, turn_deg=tuple(_turns(series, r) for r in done),
        checks=tuple(checks), hand_z=None if verdict is None else verdict.z, cut_off_change_percent=change,
    )  # fmt: skip


def _of_list(pets: PetsFile, crystal: Crystal, *, source: str) -> Findings:
    """Non-averaged and averaged kinematical refinement of a list with one line a reflection."""
    cell, _ = cell_of_group(pets.cell, crystal.hall)
    here = replace(crystal, cell=cell)
    anisotropic = any(site.u_aniso_angstrom2 is not None for site in crystal.sites)
    done: list[Refinement] = []
    timings: dict[str, float] = {}
    notes: list[str] = []
    kinds: tuple[tuple[Kind, bool], ...] = (("kinematical_non_averaged", False), ("kinematical_averaged", True))
    for kind, averaged in kinds:
        started = perf_counter()
        merged = merged_list(pets, cell=cell, hall=crystal.hall, averaged=averaged, source=source)
        done.append(refine_kinematical(model=here, merged=merged, kind=kind, anisotropic=anisotropic))
        timings[kind] = perf_counter() - started
        notes = [
            f"one line a reflection: R(int) {merged.r_int_percent:.2f} % over equivalents of '{crystal.hall}', "
            f"completeness {merged.completeness_percent:.1f} % to {merged.g_max_per_angstrom:.2f} 1/Å"
        ]
    return Findings(
        data="", model="", notes=tuple(notes), settings=None, frames=0, refinements=tuple(done), timings_s=timings,
        turn_deg=(None, None),
    )  # fmt: skip


def _refine(
    series: MeasuredSeries, crystal: Crystal, settings: DynamicalSettings, name: str, *, workers: int, say: Say
) -> Refinement:
    def note(stage: str, cycle: int, value: float) -> None:
        say(f"{name}: {stage} {cycle}: {value:.3f} {_UNITS.get(stage, '% weighted residual of I')}")

    found = refine_dynamical(
        model=crystal,
        orientation=series.orientation,
        reflections=series.reflections,
        settings=settings,
        workers=workers,
        progress=note,
    )
    free = found.held_out_r_obs_percent
    return replace(found, held_out_r_obs_percent=free if free is not None and np.isfinite(free) else None)


def _turns(series: MeasuredSeries, refinement: Refinement) -> Floats | None:
    """(frames, 2) turns about x and y in degrees from the orientation in the file; NaN for frames that took no part."""
    if refinement.rotation is None:
        return None
    turn = refinement.rotation @ np.swapaxes(series.orientation.rotation, 1, 2)
    out = np.degrees(np.stack([turn[:, 2, 1], turn[:, 0, 2]], axis=1))  # small angles: the antisymmetric part
    out[~np.isin(np.arange(len(out)), refinement.frame)] = np.nan
    return np.asarray(out)
