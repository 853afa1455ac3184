"""Tables and cards of the report, as plain values for the template."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from pipeline.types import Orientation
from twin.model.instrument import Microscope
from validation.plots.style import TREATMENT_NAME
from validation.scores import Scores
from validation.study import TREATMENT_GROUP, study_rows
from validation.view import RunView

ABSENT = "–"


@dataclass(frozen=True, slots=True, kw_only=True)
class TableRow:
    """One line; ``group`` is a heading above it, empty for none."""

    cells: tuple[str, ...]
    group: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportTable:
    """Column heads and rows."""

    head: tuple[str, ...]
    rows: tuple[TableRow, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Card:
    """One large number with what it is and what stands behind it."""

    label: str
    value: str
    unit: str
    note: str


def number(value: float | None, decimals: int) -> str:
    """Fixed decimals with a true minus sign; a dash for None and for what is not finite."""
    if value is None or not np.isfinite(value):
        return ABSENT
    return f"{round(value, decimals) + 0.0:.{decimals}f}".replace("-", "−")


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> ReportTable | None:
    return ReportTable(head=tuple(head), rows=tuple(TableRow(cells=tuple(r)) for r in rows)) if rows else None


def study_table(summary: Mapping[str, Any], study: Mapping[str, Any] | None, *, treatments: bool) -> ReportTable | None:
    """Ours beside the study's: the comparison by treatment alone, or everything else."""
    rows, group = [], ""
    for row in study_rows(summary=summary, study=study):
        if (row.group == TREATMENT_GROUP) != treatments:
            continue
        name = f"{row.quantity}{f', {row.unit}' if row.unit else ''}"
        cells = (name, row.text(row.ours), row.text(row.study))
        rows.append(TableRow(cells=cells, group=row.group if row.group != group else ""))
        group = row.group
    return ReportTable(head=("", "this run", "study"), rows=tuple(rows)) if rows else None


def cell_table(run: RunView, scores: Scores) -> ReportTable | None:
    """Found cell in the true setting beside the true one."""
    if run.orientation is None:
        return None
    names = ("a, Å", "b, Å", "c, Å", "α, °", "β, °", "γ, °")
    match = scores.lattice
    if match is None or run.truth is None:
        found = zip(names, run.orientation.cell.parameters, strict=True)
        return _table(("", "found"), [(name, number(x, 4 if "Å" in name else 3)) for name, x in found])
    rows = []
    for i, (name, x, t) in enumerate(zip(names, match.cell.parameters, run.truth.crystal.cell.parameters, strict=True)):
        error = f"{number(100 * (x / t - 1), 3)} %" if i < 3 else f"{number(x - t, 3)}°"
        rows.append((name, number(x, 4 if i < 3 else 3), number(t, 4 if i < 3 else 3), error))
    a, b, c = (x / t for x, t in zip(match.cell.parameters[:3], run.truth.crystal.cell.parameters[:3], strict=True))
    for name, ratio in (("a/b", a / b), ("b/c", b / c), ("a/c", a / c)):
        rows.append((name, "", "", f"{number(100 * (ratio - 1), 3)} %"))
    return _table(("", "found", "true", "error"), rows)


def instrument_table(run: RunView) -> ReportTable | None:
    """Nominal, found and actual projection."""
    columns: list[tuple[str, Microscope]] = []
    if run.dataset is not None:
        columns.append(("nominal", run.dataset.microscope))
    if run.orientation is not None:
        columns.append(("found", _with_mean_centre(run.orientation)))
    if run.truth is not None:
        columns.append(("actual", run.truth.microscope))
    fields = (("Camera length, mm", "camera_length_mm", 2), ("Tilt axis, °", "tilt_axis_deg", 3),
              ("Ellipse, %", "ellipse_percent", 3), ("Its azimuth, °", "ellipse_azimuth_deg", 1),
              ("Centre, fast, px", "centre_fast_px", 2), ("Centre, slow, px", "centre_slow_px", 2))  # fmt: skip
    rows = [(name, *[number(_field(m, key), d) for _, m in columns]) for name, key, d in fields]
    return _table(("", *[name for name, _ in columns]), rows) if columns else None


def _field(microscope: Microscope, key: str) -> float:
    value = float(getattr(microscope.projection, key))
    return (value + 180.0) % 360.0 - 180.0 if key == "tilt_axis_deg" else value


def _with_mean_centre(orientation: Orientation) -> Microscope:
    """The refined instrument with the mean of the centres that the frames were given."""
    fast, slow = (float(x) for x in np.mean(orientation.centre_px, axis=0))
    projection = replace(orientation.microscope.projection, centre_fast_px=fast, centre_slow_px=slow)
    return replace(orientation.microscope, projection=projection)


def site_table(scores: Scores) -> ReportTable | None:
    """Distance of every site from its true place, by stage."""
    columns = [("solution", scores.solution)]
    columns += [(TREATMENT_NAME.get(kind, kind), score) for kind, score in scores.refinements.items()]
    shown = [(name, score) for name, score in columns if score is not None and score.sites]
    if not shown:
        return None
    labels = dict.fromkeys((s.label, s.element) for _, score in shown for s in score.sites)
    rows = []
    for label, element in labels:
        distances = [{s.label: s.distance_angstrom for s in score.sites}.get(label) for _, score in shown]
        rows.append((f"{label} ({element})", *[number(d, 4) for d in distances]))
    rows.append(("mean", *[number(score.mean_distance_angstrom, 4) for _, score in shown]))
    rows.append(("largest", *[number(score.max_distance_angstrom, 4) for _, score in shown]))
    return _table(("site", *[name for name, _ in shown]), rows)


def experiment_table(run: RunView) -> ReportTable | None:
    """What was measured, on what, with what."""
    rows: list[tuple[str, str]] = []
    if run.truth is not None:
        p, m = run.truth.particle, run.truth.membrane
        size = " × ".join(f"{x:g}" for x in p.size_nm) if len(set(p.size_nm)) > 1 else f"{p.size_nm[0]:g}"
        rows.append(("Particle", f"{run.truth.crystal.name}, {p.shape}, {size} nm"))
        rows.append(("Support", "none" if m.material == "none" else f"{m.material}, {m.thickness_nm:g} nm"))
    if run.dataset is not None:
        d, b = run.dataset, run.dataset.microscope.beam
        rows.append(("Instrument", run.dataset.microscope.name))
        rows.append(("Beam", f"{b.energy_kev:g} keV, {b.diameter_nm:g} nm, {b.flux_e_per_angstrom2_s:g} e/Å²/s"))
        precession = f", precession {d.precession_deg:g}°" if d.precession_deg else ""
        rows.append(("Series", f"{len(d.counts)} frames, {d.mode}{precession}, {np.median(d.exposure_s):g} s a frame"))
        fluence = b.flux_e_per_angstrom2_s * float(np.sum(d.exposure_s))
        rows.append(("Fluence", f"{fluence:,.0f} e/Å²".replace(",", "\u2009")))
    return _table(("", ""), rows)


def cards(summary: Mapping[str, Any]) -> list[Card]:
    """The numbers that a reader wants first; those that the run does not have are left out."""
    kin, dyn = summary["kinematical"]["averaged"] or {}, summary["dynamical"] or {}
    best, name, other = (dyn, "dynamical", kin) if dyn else (kin, "kinematical", {})
    made = [
        _card(f"R(obs), {name}", best.get("r_obs_percent"), 2, "%", "kinematical", other.get("r_obs_percent"), 2),
        _card(f"Largest deviation, {name}", best.get("max_distance_angstrom"), 4, "Å", "kinematical",
              other.get("max_distance_angstrom"), 4),
        _card(f"Mean deviation, {name}", best.get("mean_distance_angstrom"), 4, "Å", "kinematical",
              other.get("mean_distance_angstrom"), 4),
        _card("Cell ratios", summary["cell"]["max_ratio_error_percent"], 3, "%", "lengths",
              summary["cell"]["max_length_error_percent"], 2),
        _card("Frame orientations, rms", summary["orientation"]["rms_error_deg"], 3, "°", "largest",
              summary["orientation"]["max_error_deg"], 3),
        _card("R(int)", summary["data"]["r_int_percent"], 1, "%", "completeness",
              summary["data"]["completeness_percent"], 1),
        _card("Intensity, CC with truth", summary["intensity"]["cc_with_truth"], 4, "", "R %",
              summary["intensity"]["r_with_truth_percent"], 1),
        _card("Time of the whole run", summary["timings_s"]["total"], 0, "s", "dynamical refinement",
              summary["timings_s"]["refine_dynamical"], 0),
    ]  # fmt: skip
    return [card for card in made if card is not None]


def _card(label: str, value: float | None, decimals: int, unit: str, second: str, other: float | None,
          other_decimals: int) -> Card | None:  # fmt: skip
    if value is None:
        return None
    note = "" if other is None else f"{second} {number(other, other_decimals)}"
    return Card(label=label, value=number(value, decimals), unit=unit, note=note)
