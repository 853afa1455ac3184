"""Refinements of measured data beside published ones: R(obs), held-out frames, structure, hand."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from time import process_time

import numpy as np

from pipeline.refinement.dynamical import refine_dynamical
from pipeline.refinement.hand import hand_z, inverted
from pipeline.refinement.measured import MeasuredSeries, read_series
from pipeline.refinement.settings import DynamicalSettings
from pipeline.types import Refinement
from twin.files.cif import read_crystal
from twin.model.crystal import Crystal
from twin.physics.lattice import direct_matrix
from validation.rows import Row, at_least, at_most

QUARTZ_CIF = "quartz_pets/quartz_P3221_reference.cif"
QUARTZ_PETS, QUARTZ_DIALS = "quartz_pets/quartz_exp_data.cif_pets", "quartz_dials/dials_dyn.cif_pets"
QUARTZ = DynamicalSettings(
    mode="continuous",
    g_max_per_angstrom=2.0,
    s_g_max_per_angstrom=0.01,
    r_s_g_max=0.9,
    d_s_g_min_per_angstrom=0.0015,
    steps=42,
    thickness_model="wedge",
    thickness_scan_nm=(10.0, 160.0),
    mosaicity_deg=0.05,
    mosaic_blocks=3,
    refine_mosaicity=True,
    beams_per_step=True,
    orientation_sd_deg=0.3,
    anisotropic=True,
    hold_out_every=10,
    max_cycles=12,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """A measured series with its published refinement. goal, peer values: R(obs) in percent."""

    id: str
    title: str
    data: str
    model: str
    settings: DynamicalSettings
    peer: str = ""
    peer_value: float | None = None
    goal: float | None = None


CASES = (
    Case(
        id="quartz-pets-kinematical",
        title="quartz (PETS2), kinematical on the same frames",
        data=QUARTZ_PETS,
        model=QUARTZ_CIF,
        settings=replace(QUARTZ, kinematical=True),
    ),
    Case(
        id="quartz-pets",
        title="quartz (PETS2), dynamical",
        data=QUARTZ_PETS,
        model=QUARTZ_CIF,
        settings=QUARTZ,
        peer="diffBloch 0.2.0",
        peer_value=5.06,
        goal=4.5,
    ),
    Case(
        id="quartz-dials",
        title="quartz (DIALS), dynamical",
        data=QUARTZ_DIALS,
        model=QUARTZ_CIF,
        settings=QUARTZ,
    ),
)


def thinned(series: MeasuredSeries, *, every: int) -> MeasuredSeries:
    """Every ``every``-th frame of a series, for quick looks."""
    keep = np.zeros(len(series.orientation.rotation), dtype=bool)
    keep[every // 2 :: every] = True
    return replace(series, orientation=replace(series.orientation, indexed=series.orientation.indexed & keep))


def refine_case(case: Case, folder: Path, *, every: int = 1, model: Crystal | None = None) -> Refinement:
    """One refinement of a case, of every ``every``-th frame."""
    crystal = model or read_crystal(folder / case.model)
    series = thinned(read_series(folder / case.data, hall=crystal.hall), every=every)
    return refine_dynamical(
        model=crystal,
        orientation=series.orientation,
        reflections=series.reflections,
        settings=case.settings,
    )


def largest_shift_angstrom(refined: Crystal, reference: Crystal) -> float:
    """Largest distance between the sites of two models of the same setting and origin, in the order of the sites."""
    difference = np.array([np.subtract(a.fract, b.fract) for a, b in zip(refined.sites, reference.sites, strict=True)])
    difference -= np.round(difference)
    return float(np.linalg.norm(difference @ direct_matrix(reference.cell).T, axis=1).max())


def case_rows(case: Case, folder: Path, *, quick: bool) -> tuple[Refinement, list[Row]]:
    """R(obs), R(obs) of the frames held out, and how far the atoms are from the published ones."""
    started = process_time()
    found = refine_case(case, folder, every=6 if quick else 1)
    cpu_s = process_time() - started
    goal, met = ("", None) if case.goal is None else at_most(found.r_obs_percent, case.goal)
    note = (
        f"T {found.thickness_nm or 0:.1f} nm, mosaicity {found.mosaicity_deg or 0:.3f}°, "
        f"{found.parameters} parameters, {found.reflections_obs} observed, {cpu_s:.0f} CPU s; {found.verdict}"
    )
    shift = largest_shift_angstrom(found.crystal, read_crystal(folder / case.model))
    rows = [
        Row(
            id=f"{case.id}-robs",
            quantity=f"{case.title}: R(obs)",
            value=found.r_obs_percent,
            unit="%",
            peer=case.peer,
            peer_value=case.peer_value,
            goal=goal,
            met=met,
            n=found.reflections_all,
            note=note,
        ),
        Row(
            id=f"{case.id}-free",
            quantity=f"{case.title}: R(obs) of frames held out",
            value=found.held_out_r_obs_percent,
            unit="%",
            n=0 if found.held_out_frame is None else len(found.held_out_frame),
            note="frames; free are their scale and two tilts",
        ),
        Row(
            id=f"{case.id}-structure",
            quantity=f"{case.title}: largest distance of an atom from the published position",
            value=shift,
            unit="Å",
            n=len(found.crystal.sites),
        ),
    ]
    return found, rows


def hand_row(case: Case, folder: Path, given: Refinement, *, quick: bool) -> Row:
    """z of the published hand over the other one, refined in the same way."""
    other = refine_case(
        replace(case, settings=replace(case.settings, max_cycles=min(6, case.settings.max_cycles))),
        folder,
        every=6 if quick else 1,
        model=inverted(given.crystal),
    )
    z = hand_z(given, other)
    goal, met = at_least(z, 5.0)
    return Row(
        id=f"{case.id}-hand",
        quantity=f"{case.title}: z of the published hand over the other",
        value=z,
        unit="",
        goal=goal,
        met=met,
        n=given.reflections_all,
        note=f"R(obs) {given.r_obs_percent:.2f} % against {other.r_obs_percent:.2f} %",
    )
