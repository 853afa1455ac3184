"""The study's row beside ours: one table for the terminal, the report, and the status page.

The published row comes as a plain mapping with the keys of the study's tables (``coverage_percent``, ``r_int``,
``kin = {r_obs, ...}``, ``dyn = {...}``); the longer names with units of our own summary are understood as well.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from rich.table import Table


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One quantity, ours and the study's (None: not available), with the number of decimals to show."""

    group: str
    quantity: str
    unit: str
    ours: float | None
    study: float | None
    decimals: int = 2

    def text(self, value: float | None) -> str:
        return "–" if value is None else f"{value:.{self.decimals}f}"


# group, quantity, unit, path in the summary, path in the study's row with its aliases, decimals
_DATA = (
    ("Completeness", "%", "completeness_percent", ("coverage_percent", "completeness_percent"), 1),
    ("Unique reflections, all", "", "averaged_all", ("averaged_all",), 0),
    ("Unique reflections, I > 3σ", "", "averaged_obs", ("averaged_obs",), 0),
    ("Redundancy", "", "redundancy", ("redundancy",), 1),
    ("R(int)", "%", "r_int_percent", ("r_int", "r_int_percent"), 1),
)
_REFINEMENT = (
    ("Reflections, all", "", "reflections_all", ("all", "reflections_all"), 0),
    ("Reflections, I > 3σ", "", "reflections_obs", ("obs", "reflections_obs"), 0),
    ("Refined parameters", "", "parameters", ("npar", "parameters"), 0),
    ("R(obs)", "%", "r_obs_percent", ("r_obs", "r_obs_percent"), 2),
    ("R(all)", "%", "r_all_percent", ("r_all", "r_all_percent"), 2),
    ("wR(all)", "%", "wr_all_percent", ("wr_all", "wr_all_percent"), 2),
    ("GoF(obs)", "", "gof_obs", ("gof_obs",), 2),
    ("Mean distance of atoms", "Å", "mean_distance_angstrom", ("mean", "mean_distance_angstrom"), 4),
    ("Largest distance of atoms", "Å", "max_distance_angstrom", ("max", "max_distance_angstrom"), 4),
)
_TREATMENTS = (
    ("averaged", "averaged, kinematical", ("averaged_kin",)),
    ("non_averaged", "non-averaged, kinematical", ("non_averaged_kin",)),
    ("frame_based", "frame-based, kinematical", ("frame_based_kin",)),
)


def study_rows(*, summary: Mapping[str, Any], study: Mapping[str, Any] | None) -> tuple[Row, ...]:
    """All rows for which there is at least one number."""
    published = study or {}
    kin, dyn = _block(published, ("kin", "kinematical")), _block(published, ("dyn", "dynamical"))
    rows = [
        Row(group="Data", quantity=q, unit=u, ours=_number(summary["data"], (key,)), study=_number(published, names),
            decimals=d)
        for q, u, key, names, d in _DATA
    ]  # fmt: skip
    averaged = (summary["kinematical"] or {}).get("averaged")
    for group, ours, theirs in (("Kinematical, averaged", averaged, kin), ("Dynamical", summary["dynamical"], dyn)):
        rows += [
            Row(group=group, quantity=q, unit=u, ours=_number(ours, (key,)), study=_number(theirs, names), decimals=d)
            for q, u, key, names, d in _REFINEMENT
        ]
    rows += _treatment_rows(summary, published)
    return tuple(r for r in rows if r.ours is not None or r.study is not None)


def _treatment_rows(summary: Mapping[str, Any], published: Mapping[str, Any]) -> list[Row]:
    treatment = _block(published, ("treatment", "ito_treatment"))
    blocks = summary["kinematical"] or {}
    rows = [
        Row(group="R(obs) by treatment", quantity=name, unit="%", ours=_number(blocks.get(key), ("r_obs_percent",)),
            study=_number(treatment, names))
        for key, name, names in _TREATMENTS
    ]  # fmt: skip
    rows.append(
        Row(group="R(obs) by treatment", quantity="frame-based, dynamical", unit="%",
            ours=_number(summary["dynamical"], ("r_obs_percent",)), study=_number(treatment, ("frame_based_dyn",)))
    )  # fmt: skip
    frame_wise = [r for r in rows[1:3] if r.ours is not None or r.study is not None]
    return rows if frame_wise else []


def study_table(*, summary: Mapping[str, Any], study: Mapping[str, Any] | None, title: str = "") -> Table:
    """The same rows for the terminal."""
    table = Table(title=title or str(summary["scenario"]), title_justify="left")
    for heading, justify in (("", "left"), ("this run", "right"), ("study", "right")):
        table.add_column(heading, justify=justify)  # type: ignore[arg-type]
    group = ""
    for row in study_rows(summary=summary, study=study):
        if row.group != group:
            group = row.group
            table.add_section()
            table.add_row(f"[bold]{group}[/bold]", "", "")
        unit = f" / {row.unit}" if row.unit else ""
        table.add_row(f"  {row.quantity}{unit}", row.text(row.ours), row.text(row.study))
    return table


def _block(mapping: Mapping[str, Any], names: tuple[str, ...]) -> Mapping[str, Any]:
    for name in names:
        found = mapping.get(name)
        if isinstance(found, Mapping):
            return found
    return {}


def _number(mapping: Mapping[str, Any] | None, names: tuple[str, ...]) -> float | None:
    for name in names:
        value = (mapping or {}).get(name)
        if isinstance(value, int | float) and not isinstance(value, bool):
            return float(value)
    return None
