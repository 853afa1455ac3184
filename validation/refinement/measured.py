"""Refinements of measured data beside published ones: R(obs), held-out frames, structure, hand."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from time import process_time
from typing import Any

import numpy as np

from pipeline.refinement.dynamical import refine_dynamical
from pipeline.refinement.hand import hand_z, inverted
from pipeline.refinement.measured import MeasuredSeries, cell_of_group, default_settings, read_series
from pipeline.types import Refinement
from twin.files.cif import read_crystal
from twin.model.crystal import Crystal
from twin.physics.lattice import direct_matrix
from validation.refinement.kept import kept_rows
from validation.rows import Row, at_least, at_most

QUARTZ_CIF, ALBITE_CIF = "quartz_pets/quartz_P3221_reference.cif", "albite/jana2006_albite.cif"
QUARTZ_PETS, QUARTZ_DIALS = "quartz_pets/quartz_exp_data.cif_pets", "quartz_dials/dials_dyn.cif_pets"
AS_DIFFBLOCH = {"g_max_per_angstrom": 2.0, "r_s_g_max": 0.9, "steps": 42, "max_cycles": 12}
DISPLACED_ANGSTROM = 0.05


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """A measured series with its published refinement. goal, peer values: R(obs) in percent.

    settings: changes of those that `edtwin refine --data` takes. every: only every n-th frame of the series is used.
    mean_goal_angstrom: of the mean distance of the atoms from the published structure.
    """

    id: str
    title: str
    data: str
    model: str
    settings: Mapping[str, Any] = field(default_factory=dict)
    every: int = 1
    peer: str = ""
    peer_value: float | None = None
    goal: float | None = None
    mean_goal_angstrom: float | None = None


CASES = (
    Case(
        id="quartz-pets-kinematical",
        title="quartz (PETS2), kinematical on the same frames",
        data=QUARTZ_PETS,
        model=QUARTZ_CIF,
        settings={**AS_DIFFBLOCH, "kinematical": True},
    ),
    Case(
        id="quartz-pets",
        title="quartz (PETS2), dynamical",
        data=QUARTZ_PETS,
        model=QUARTZ_CIF,
        settings=AS_DIFFBLOCH,
        peer="diffBloch 0.2.0",
        peer_value=5.06,
        goal=4.5,
    ),
    Case(id="quartz-dials", title="quartz (DIALS), dynamical", data=QUARTZ_DIALS, model=QUARTZ_CIF,
         settings=AS_DIFFBLOCH),
    Case(
        id="albite-kinematical",
        title="albite, kinematical on the same frames",
        data="albite/pets2_albite.cif_pets",
        model=ALBITE_CIF,
        settings={"kinematical": True},
        peer="Jana2020, averaged kinematical data",
        peer_value=14.82,
        goal=14.8,
    ),
    Case(
        id="albite",
        title="albite, dynamical",
        data="albite/pets2_albite.cif_pets",
        model=ALBITE_CIF,
        peer="Jana2020",
        peer_value=9.31,
        goal=9.3,
        mean_goal_angstrom=0.01,
    ),
)  # fmt: skip
HAND = Case(id="quartz-hand", title="quartz (PETS2)", data=QUARTZ_PETS, model=QUARTZ_CIF, every=3,
            settings={**AS_DIFFBLOCH, "max_cycles": 6})  # fmt: skip


def thinned(series: MeasuredSeries, *, every: int) -> MeasuredSeries:
    """Every ``every``-th frame of a series."""
    keep = np.zeros(len(series.orientation.rotation), dtype=bool)
    keep[every // 2 :: every] = True
    return replace(series, orientation=replace(series.orientation, indexed=series.orientation.indexed & keep))


def published_model(case: Case, folder: Path) -> Crystal:
    """The published structure in the cell of its group."""
    crystal = read_crystal(folder / case.model, cell_tolerance=0.03)
    return replace(crystal, cell=cell_of_group(crystal.cell, crystal.hall)[0])


def displaced(crystal: Crystal, *, generator: np.random.Generator) -> Crystal:
    """Every site moved by up to ``DISPLACED_ANGSTROM`` along each axis; symmetry takes back what it forbids."""
    lengths = np.array(crystal.cell.parameters[:3])
    moved = generator.uniform(-DISPLACED_ANGSTROM, DISPLACED_ANGSTROM, (len(crystal.sites), 3)) / lengths
    sites = []
    for site, shift in zip(crystal.sites, moved.tolist(), strict=True):
        x, y, z = (float(a + b) for a, b in zip(site.fract, shift, strict=True))
        sites.append(replace(site, fract=(x, y, z)))
    return replace(crystal, sites=tuple(sites))


def refine_case(case: Case, folder: Path, *, every: int, model: Crystal) -> Refinement:
    """One refinement of a case, of every ``every``-th frame."""
    series = thinned(read_series(folder / case.data, hall=model.hall), every=every)
    return refine_dynamical(
        model=model,
        orientation=series.orientation,
        reflections=series.reflections,
        settings=replace(default_settings(series, model), **case.settings),
    )


def distances_angstrom(refined: Crystal, reference: Crystal) -> tuple[float, float]:
    """(mean, largest) distance between the sites of two models of the same setting and origin, in their order."""
    difference = np.array([np.subtract(a.fract, b.fract) for a, b in zip(refined.sites, reference.sites, strict=True)])
    difference -= np.round(difference)
    distance = np.linalg.norm(difference @ direct_matrix(refined.cell).T, axis=1)
    return float(distance.mean()), float(distance.max())


def case_rows(case: Case, folder: Path, *, quick: bool, kept: Path) -> list[Row]:
    """R(obs), R(obs) of the frames held out, and how far the atoms are from the published ones; kept in ``kept``."""
    every = 6 if quick else case.every
    return kept_rows(kept, case.id, recipe=f"{case!r} every {every}", make=lambda: _rows(case, folder, every))


def _rows(case: Case, folder: Path, every: int) -> list[Row]:
    started = process_time()
    reference = published_model(case, folder)
    start = displaced(reference, generator=np.random.Generator(np.random.Philox(20)))
    found = refine_case(case, folder, every=every, model=start)
    cpu_s = process_time() - started
    goal, met = ("", None) if case.goal is None or every > 1 else at_most(found.r_obs_percent, case.goal)
    note = (
        f"T {found.thickness_nm or 0:.1f} nm, mosaicity {found.mosaicity_deg or 0:.3f}°, {found.parameters} "
        f"parameters, {found.reflections_obs} observed, {cpu_s:.0f} CPU s; {found.verdict}"
    ) + (f"; every {every}. frame only" if every > 1 else "")
    mean, largest = distances_angstrom(found.crystal, reference)
    if case.mean_goal_angstrom is None or every > 1:
        mean_goal, mean_met = "", None
    else:
        mean_goal, mean_met = at_most(mean, case.mean_goal_angstrom)
    held_out = 0 if found.held_out_frame is None else len(found.held_out_frame)
    return [
        Row(id=f"{case.id}-robs", quantity=f"{case.title}: R(obs)", value=found.r_obs_percent, unit="%",
            peer=case.peer, peer_value=case.peer_value, goal=goal, met=met, n=found.reflections_all, note=note),
        Row(id=f"{case.id}-free", quantity=f"{case.title}: R(obs) of frames held out",
            value=found.held_out_r_obs_percent, unit="%", n=held_out,
            note="frames; free are their scale and two tilts"),
        Row(id=f"{case.id}-structure", quantity=f"{case.title}: mean distance of the atoms from the published ones",
            value=mean, unit="Å", goal=mean_goal, met=mean_met, n=len(found.crystal.sites),
            note=f"largest {largest:.4f} Å; started from up to {DISPLACED_ANGSTROM} Å along each axis away"),
    ]  # fmt: skip


def hand_rows(folder: Path, *, quick: bool, kept: Path, case: Case = HAND) -> list[Row]:
    """z of the published hand over the other one, both refined in the same way."""
    every = 6 if quick else case.every

    def make() -> list[Row]:
        model = published_model(case, folder)
        given, other = (refine_case(case, folder, every=every, model=m) for m in (model, inverted(model)))
        z = hand_z(given, other)
        goal, met = at_least(z, 5.0)
        note = f"R(obs) {given.r_obs_percent:.2f} % against {other.r_obs_percent:.2f} %; every {every}. frame"
        return [
            Row(id=case.id, quantity=f"{case.title}: z of the published hand over the other", value=z, unit="",
                goal=goal, met=met, n=given.reflections_all, note=note)
        ]  # fmt: skip

    return kept_rows(kept, case.id, recipe=f"{case!r} every {every}", make=make)
