"""Refinements of measured data beside published ones: R(obs), held-out frames, structure, hand."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from time import process_time

import numpy as np

from pipeline.refinement.dynamical import refine_dynamical
from pipeline.refinement.hand import hand_z, inverted
from pipeline.refinement.measured import MeasuredSeries, cell_of_group, default_settings, read_series
from pipeline.refinement.parameters import crystal_of, parametrise
from pipeline.types import Refinement
from twin.files.cif import read_crystal
from twin.model.crystal import Crystal
from twin.physics.electrons import wavenumber_per_angstrom
from twin.physics.lattice import Floats, direct_matrix
from validation.refinement.cases import CASES, Case
from validation.refinement.extinction import fit_extinction
from validation.refinement.kept import kept_rows
from validation.refinement.published import JanaList, read_coordinate_su, read_jana_list
from validation.rows import Row, at_least, at_most

DISPLACED_ANGSTROM = 0.05
PUBLISHED_WITHIN_SU = 3.0
HAND_Z = 5.0


def thinned(series: MeasuredSeries, *, every: int) -> MeasuredSeries:
    """Every ``every``-th frame of a series."""
    keep = np.zeros(len(series.orientation.rotation), dtype=bool)
    keep[every // 2 :: every] = True
    return replace(series, orientation=replace(series.orientation, indexed=series.orientation.indexed & keep))


def as_published(series: MeasuredSeries, kept: JanaList) -> MeasuredSeries:
    """Only the reflections of the published list: Jana leaves out those that differ by more than 15 σ."""
    r = series.reflections
    chosen = {(*h, z) for h, z in zip(kept.hkl.tolist(), kept.zone.tolist(), strict=True)}
    zone = np.array(series.zone_id)[r.frame]
    use = np.array([(*h, z) in chosen for h, z in zip(r.hkl.tolist(), zone.tolist(), strict=True)], dtype=bool)
    parts = ("hkl", "frame", "intensity", "sigma", "fast_px", "slow_px", "excitation_error_per_angstrom",
             "swept_fraction")  # fmt: skip
    return replace(series, reflections=replace(r, **{name: getattr(r, name)[use] for name in parts}))


def published_model(case: Case, folder: Path) -> Crystal:
    """The published structure in the cell of its group."""
    crystal = read_crystal(folder / case.model, cell_tolerance=0.03)
    return replace(crystal, cell=cell_of_group(crystal.cell, crystal.hall)[0])


def displaced(crystal: Crystal, *, generator: np.random.Generator) -> Crystal:
    """Every coordinate that symmetry leaves free moved by up to ``DISPLACED_ANGSTROM`` along its axis."""
    tensors = [site.label for site in crystal.sites if site.u_aniso_angstrom2 is not None]
    parametrisation = parametrise(crystal, anisotropic=tensors)
    lengths = dict(zip("xyz", crystal.cell.parameters[:3], strict=True))
    values = parametrisation.start.copy()
    for i, name in enumerate(parametrisation.names):
        axis = name.rpartition(".")[2]
        if axis in lengths:
            values[i] += float(generator.uniform(-DISPLACED_ANGSTROM, DISPLACED_ANGSTROM)) / lengths[axis]
    return crystal_of(parametrisation, values)


def data_rows(folder: Path) -> list[Row]:
    """What reading put right in each series, and how many frames and reflections it has."""
    rows = []
    for data in dict.fromkeys(case.data for case in CASES):
        case = next(c for c in CASES if c.data == data)
        series = read_series(folder / data, hall=published_model(case, folder).hall)
        rows.append(
            Row(id=f"data-{case.id}", quantity=f"{case.title.split(',')[0]}: reflections read", unit="",
                value=float(len(series.reflections.hkl)), n=len(series.zone_id),
                note="; ".join(series.notes) or "nothing to put right"),
        )  # fmt: skip
    return rows


def case_series(case: Case, folder: Path, *, every: int, hall: str) -> MeasuredSeries:
    """The frames and reflections of a case."""
    series = thinned(read_series(folder / case.data, hall=hall), every=every)
    return as_published(series, read_jana_list(folder / case.model)) if case.published_list else series


def refine_case(case: Case, folder: Path, *, every: int, model: Crystal) -> Refinement:
    """One refinement of a case, of every ``every``-th frame."""
    series = case_series(case, folder, every=every, hall=model.hall)
    return refine_dynamical(
        model=model,
        orientation=series.orientation,
        reflections=series.reflections,
        settings=replace(default_settings(series, model), **case.settings),
    )


def shifts(refined: Crystal, reference: Crystal) -> Floats:
    """(sites, 3) differences of the fractional coordinates of two models of the same setting and origin."""
    difference = np.array([np.subtract(a.fract, b.fract) for a, b in zip(refined.sites, reference.sites, strict=True)])
    return np.asarray(difference - np.round(difference))


def distances_angstrom(refined: Crystal, reference: Crystal) -> tuple[float, float]:
    """(mean, largest) distance between the sites of two models, in their order."""
    distance = np.linalg.norm(shifts(refined, reference) @ direct_matrix(refined.cell).T, axis=1)
    return float(distance.mean()), float(distance.max())


def pulls(refinement: Refinement, reference: Crystal, *, published: Mapping[str, float]) -> dict[str, float]:
    """|difference| over its s.u. of every free coordinate, by name ('O1.x'); s.u.s of both where both have one."""
    found = {}
    for site, by in zip(reference.sites, shifts(refinement.crystal, reference).tolist(), strict=True):
        for axis, shift in zip("xyz", by, strict=True):
            name = f"{site.label}.{axis}"
            su = refinement.standard_uncertainties.get(name, 0.0)
            if su > 0:
                found[name] = abs(shift) / float(np.hypot(su, published.get(name, 0.0)))
    return found


def expected_distance_angstrom(refinement: Refinement, *, published: Mapping[str, float]) -> float:
    """Mean distance between the sites of two models that differ by nothing but the s.u.s of both.

    A site whose coordinates scatter with the variances V in Å² is √(8/π) √(tr V/3) away in the mean (Maxwell's
    distribution; cell edges taken as perpendicular, correlations left out).
    """
    lengths = refinement.crystal.cell.parameters[:3]
    distances = []
    for site in refinement.crystal.sites:
        names = [f"{site.label}.{axis}" for axis in "xyz"]
        variance = [
            length**2 * (refinement.standard_uncertainties.get(name, 0.0) ** 2 + published.get(name, 0.0) ** 2)
            for name, length in zip(names, lengths, strict=True)
        ]
        distances.append(np.sqrt(8.0 / np.pi * sum(variance) / 3.0))
    return float(np.mean(distances))


def case_rows(case: Case, folder: Path, *, quick: bool, kept: Path) -> list[Row]:
    """R(obs), R(obs) of the frames held out, how far the atoms are from the published ones, and the hand."""
    every = 6 if quick else case.every
    return kept_rows(kept, case.id, recipe=f"{case!r} every {every}", make=lambda: _rows(case, folder, every))


def _rows(case: Case, folder: Path, every: int) -> list[Row]:
    started = process_time()
    reference = published_model(case, folder)
    start = displaced(reference, generator=np.random.Generator(np.random.Philox(20)))
    found = refine_case(case, folder, every=every, model=start)
    cpu_s = process_time() - started
    rows = figure_rows(case, found, every=every, cpu_s=cpu_s) + _structure(case, folder, found, reference, every=every)
    rows += _extinction(case, folder, found) if case.extinction else []
    return rows + (_hand(case, folder, found, start, every=every) if case.other_hand else [])


def _goal(limit: float | None, value: float, *, every: int) -> tuple[str, bool | None]:
    """Goals are for all frames."""
    return ("", None) if limit is None or every > 1 else at_most(value, limit)


def figure_rows(case: Case, found: Refinement, *, every: int, cpu_s: float) -> list[Row]:
    """R(obs), and that of the frames held out."""
    goal, met = _goal(case.goal, found.r_obs_percent, every=every)
    mosaicity = "" if found.mosaicity_deg is None else f"mosaicity {found.mosaicity_deg:.3f}°, "
    note = (
        f"T {found.thickness_nm or 0:.1f} nm, {mosaicity}{found.parameters} parameters, {found.reflections_obs} "
        f"observed, R(all) {found.r_all_percent:.2f} %, {cpu_s:.0f} CPU s; {found.verdict}"
    ) + (f"; every {every}. frame only" if every > 1 else "")
    held_out = 0 if found.held_out_frame is None else len(found.held_out_frame)
    return [
        Row(id=f"{case.id}-robs", quantity=f"{case.title}: R(obs)", value=found.r_obs_percent, unit="%",
            peer=case.peer, peer_value=case.peer_value, goal=goal, met=met, n=found.reflections_all, note=note),
        Row(id=f"{case.id}-free", quantity=f"{case.title}: R(obs) of frames held out",
            value=found.held_out_r_obs_percent, unit="%", n=held_out,
            note="frames; free are their scale and two tilts"),
    ]  # fmt: skip


def _structure(case: Case, folder: Path, found: Refinement, reference: Crystal, *, every: int) -> list[Row]:
    mean, largest = distances_angstrom(found.crystal, reference)
    mean_goal, mean_met = _goal(case.mean_goal_angstrom, mean, every=every)
    published = read_coordinate_su(folder / case.uncertainties) if case.uncertainties else {}
    pull = pulls(found, reference, published=published)
    worst = max(pull, key=lambda name: pull[name])
    square = float(np.mean(np.square(list(pull.values()))))
    goal, met = _goal(PUBLISHED_WITHIN_SU, pull[worst], every=every)
    of = "s.u.s of both" if published else "the published ones come without s.u.s: ours alone"
    expected = expected_distance_angstrom(found, published=published)
    return [
        Row(id=f"{case.id}-structure", quantity=f"{case.title}: mean distance of the atoms from the published ones",
            value=mean, unit="Å", goal=mean_goal, met=mean_met, n=len(found.crystal.sites),
            note=f"largest {largest:.4f} Å; {expected:.4f} Å expected from s.u.s alone ({of}); each free coordinate "
            f"started up to {DISPLACED_ANGSTROM} Å away"),
        Row(id=f"{case.id}-pull", quantity=f"{case.title}: largest difference of a coordinate from the published one",
            value=pull[worst], unit="s.u.", goal=goal, met=met, n=len(pull),
            note=f"{worst}; {of}; mean square of all {square:.2f}"),
    ]  # fmt: skip


def _extinction(case: Case, folder: Path, found: Refinement) -> list[Row]:
    """R(obs) with an extinction parameter fitted after the refinement, whose structure did not have the benefit of it.

    No goal: it is no refinement.
    """
    energy_kev = read_series(folder / case.data).orientation.microscope.beam.energy_kev
    fit = fit_extinction(found, wavelength_angstrom=1.0 / wavenumber_per_angstrom(energy_kev=energy_kev))
    note = (
        f"x = {fit.coefficient:.0f} of SHELXL's correction, F in Å; only it and a scale a frame were fitted, on F: "
        f"without it R(obs) {fit.r_obs_percent[0]:.2f} %, wR(all) {fit.wr_percent[0]:.2f} to {fit.wr_percent[1]:.2f} %"
    )
    return [
        Row(id=f"{case.id}-extinction", quantity=f"{case.title}: R(obs) with extinction fitted afterwards",
            value=fit.r_obs_percent[1], unit="%", peer=case.peer, peer_value=case.peer_value, n=found.reflections_all,
            note=note)
    ]  # fmt: skip


def _hand(case: Case, folder: Path, given: Refinement, start: Crystal, *, every: int) -> list[Row]:
    """The published hand beside the other one, refined from the inverse of the same start."""
    other = refine_case(case, folder, every=every, model=inverted(start))
    return [hand_row(case, given, other, least=None if every > 1 else HAND_Z)]


def hand_row(case: Case, given: Refinement, other: Refinement, *, least: float | None) -> Row:
    """z of the published hand over the other, both refined in the same way."""
    z = hand_z(given, other)
    goal, met = ("", None) if least is None else at_least(z, least)
    return Row(
        id=f"{case.id}-hand", quantity=f"{case.title}: z of the published hand over the other", value=z, unit="",
        goal=goal, met=met, n=given.reflections_all,
        note=f"R(obs) {given.r_obs_percent:.2f} % against {other.r_obs_percent:.2f} %",
    )  # fmt: skip
