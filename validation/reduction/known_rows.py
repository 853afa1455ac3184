"""Rows of the series with a known truth: ours beside those of DIALS on the same frames."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from pipeline.reduction.assemble import ReducedSeries
from pipeline.reduction.errors import ReductionError
from pipeline.reduction.reduce import reduce_series
from twin.files.nxmx import read_dataset, write_dataset
from validation.reduction.bound import least_median_error_deg
from validation.reduction.conditions import IDEAL, Conditions
from validation.reduction.dials import DialsResult, available, dials_frame_ub, run_dials
from validation.reduction.frames import Known, make_known
from validation.reduction.intensity_rows import intensity_rows
from validation.reduction.measure import LatticeErrors, lattice_errors
from validation.reduction.row import NAN, goal_of, set_row
from validation.rows import Row

GOALS = {
    "ideal": {"cell": 0.002, "orientation": 0.002},
    "hard": {"cell": 0.01, "orientation": 0.02, "azimuth": 0.02},
}
FASTER = 10.0  # than DIALS
INDEXED_PERCENT = 90.0  # of the weak set's spots


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Reduced:
    """What came of a series, or why nothing did; CPU seconds to read the file, and to reduce what was read."""

    series: ReducedSeries | None
    gave_up: str
    read_s: float
    reduce_s: float


def warm_up() -> None:
    """Compile what is compiled at first use, so that the timing of a series is that of its frames."""
    short = make_known(replace(IDEAL, frames=60, seed=3))
    try:
        reduce_series(dataset=short.dataset)
    except ReductionError:
        return


def timed_reduction(frames: Path) -> Reduced:
    """The reduction of a file."""
    begin = time.process_time()
    dataset = read_dataset(frames)
    between = time.process_time()
    series, gave_up = None, ""
    try:
        series = reduce_series(dataset=dataset)
    except ReductionError as error:
        gave_up = str(error)
    return Reduced(
        series=series, gave_up=gave_up, read_s=between - begin, reduce_s=time.process_time() - between
    )


def known_rows(conditions: Conditions, folder: Path) -> list[Row]:
    """One series made, reduced by us and by DIALS from the same file."""
    folder.mkdir(parents=True, exist_ok=True)
    known, name = make_known(conditions), conditions.name
    frames = folder / "frames.nxs"
    write_dataset(frames, known.dataset)
    ours = timed_reduction(frames)
    theirs = run_dials(frames) if available() else None
    rows = _lattice_rows(name, known, ours, theirs) + _speed_rows(name, len(known.dataset.counts), ours, theirs)
    if conditions.jitter_deg > 0:
        rows += _jitter_rows(conditions, known, ours.series)
    return rows + intensity_rows(name, known, ours.series, theirs)


def _dials_lattice(known: Known, result: DialsResult) -> LatticeErrors:
    if "a" not in result.arrays:
        return LatticeErrors(cell_percent=NAN, orientation_deg=NAN)
    a = result.arrays
    return lattice_errors(known=known, frame_ub=dials_frame_ub(a), frame=np.asarray(a["frame"], dtype=np.int64))


def _lattice_rows(name: str, known: Known, ours: Reduced, theirs: DialsResult | None) -> list[Row]:
    goals = GOALS.get(name, {})
    lattice, azimuth, fraction = LatticeErrors(cell_percent=NAN, orientation_deg=NAN), NAN, 0.0
    if ours.series is not None:
        o = ours.series.orientation
        lattice = lattice_errors(known=known, frame_ub=o.rotation @ o.ub)
        wanted = known.scene.actual.projection.tilt_axis_deg
        azimuth = abs((o.microscope.projection.tilt_axis_deg - wanted + 180.0) % 360.0 - 180.0)
        fraction = 100.0 * o.indexed_peaks_fraction
    peer = _dials_lattice(known, theirs) if theirs is not None else None
    cell, turn = (None, None) if peer is None else (peer.cell_percent, peer.orientation_deg)
    said = ours.gave_up or _said(theirs, peer)
    right = goal_of(lattice.cell_percent, goals.get("cell"))
    if name == "weak":
        right = {"goal": "the right lattice", "met": not np.isnan(lattice.cell_percent)}
    angle, n = lattice.orientation_deg, len(known.rotation)
    enough = goal_of(fraction, INDEXED_PERCENT if name == "weak" else None, high=True)
    return [
        set_row(name, "cell", "error of a cell length", "%", lattice.cell_percent, cell, note=said, **right),
        set_row(name, "turn", "orientation of a frame, median", "°", angle, turn, n=n,
                **goal_of(angle, goals.get("orientation"))),
        set_row(name, "azimuth", "tilt-axis azimuth", "°", azimuth, None, **goal_of(azimuth, goals.get("azimuth"))),
        set_row(name, "indexed", "spots indexed", "%", fraction, None, **enough),
    ]  # fmt: skip


def _said(theirs: DialsResult | None, found: LatticeErrors | None) -> str:
    """Why cells of DIALS are empty."""
    if theirs is None or found is None:
        return ""
    if theirs.failed:
        return f"DIALS: {theirs.failed}"
    return "DIALS: not the true lattice" if np.isnan(found.cell_percent) else ""


def _speed_rows(name: str, frames: int, ours: Reduced, theirs: DialsResult | None) -> list[Row]:
    """From the file to results, as DIALS works; and without reading it, as a microscope would hand over its frames."""
    alone = frames / ours.reduce_s
    if ours.series is None:
        return []
    peer = None if theirs is None or theirs.failed else frames / theirs.cpu_s
    goal = None if peer is None else FASTER * peer
    whole = frames / (ours.read_s + ours.reduce_s)
    note = f"ours reads {ours.read_s:.1f} s and reduces {ours.reduce_s:.1f} s; DIALS: all its programs"
    return [
        set_row(name, "speed", "frames per CPU second, from file to results", "1/s", whole, peer, note=note,
                **goal_of(whole, goal, high=True)),
        set_row(name, "speed-memory", "frames per CPU second, frames in memory", "1/s", alone, None),
    ]  # fmt: skip


def _jitter_rows(conditions: Conditions, known: Known, series: ReducedSeries | None) -> list[Row]:
    """How far off the best estimator would be and the fit expects to be, and the jitter that it estimated."""
    name, true, n = conditions.name, conditions.jitter_deg, len(known.rotation)
    least = least_median_error_deg(known.scene)
    note = "Cramér–Rao, were F², cell, profile, background and instrument known; weak reflections too"
    if least > GOALS.get(name, {}).get("orientation", least):
        note = f"above the goal, which no estimator can promise; {note}"
    rows = [
        set_row(name, "turn-bound", "orientation: least that photon noise leaves", "°", least, None, note=note, n=n)
    ]
    if series is None:
        return rows
    sd, looseness = series.fit.turn_sd_deg, series.fit.looseness
    draw = np.linalg.norm(sd * np.random.default_rng(1).normal(size=sd.shape), axis=1)
    note = "from the uncertainties of the fit"
    rows += [
        set_row(name, "turn-sd", "orientation: as the fit expects it", "°", float(np.median(draw)), None, note=note),
        set_row(name, "jitter-tilt", f"jitter of tilts (truth {true:g})", "°", looseness.tilt_deg, None, n=n),
        set_row(name, "jitter-spin", f"jitter about the beam (truth {true:g})", "°", looseness.spin_deg, None, n=n),
    ]
    return rows
