"""The study's row beside ours: one table for the terminal, the report, and the status page.

The published row comes as a plain mapping in the shape of a scenario's [study] block: ``data``, ``kinematical``,
``dynamical`` with the keys of ``summary.json``, and ``treatment`` with R(obs) by how the data were treated.
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


_DATA = (
    ("Completeness", "%", "completeness_percent", 1),
    ("Unique reflections, all", "", "averaged_all", 0),
    ("Unique reflections, I > 3σ", "", "averaged_obs", 0),
    ("Redundancy", "", "redundancy", 1),
    ("R(int)", "%", "r_int_percent", 1),
)
_REFINEMENT = (
    ("Reflections, all", "", "reflections_all", 0),
    ("Reflections, I > 3σ", "", "reflections_obs", 0),
    ("Refined parameters", "", "parameters", 0),
    ("R(obs)", "%", "r_obs_percent", 2),
    ("R(all)", "%", "r_all_percent", 2),
    ("wR(all)", "%", "wr_all_percent", 2),
    ("GoF(obs)", "", "gof_obs", 2),
    ("Mean distance of atoms", "Å", "mean_distance_angstrom", 4),
    ("Largest distance of atoms", "Å", "max_distance_angstrom", 4),
)
TREATMENT_GROUP = "R(obs) by treatment"
_TREATMENTS = (
    ("averaged, kinematical", "averaged", "averaged_kinematical"),
    ("non-averaged, kinematical", "non_averaged", "non_averaged_kinematical"),
    ("frame-based, kinematical", "frame_based", "frame_based_kinematical"),
    ("frame-based, dynamical", None, "frame_based_dynamical"),
)


def study_rows(*, summary: Mapping[str, Any], study: Mapping[str, Any] | None) -> tuple[Row, ...]:
    """All rows for which there is at least one number."""
    published = study or {}
    averaged = _block(summary, "kinematical").get("averaged")
    groups = (
        ("Data", _DATA, _block(summary, "data"), _block(published, "data")),
        ("Kinematical, averaged", _REFINEMENT, averaged, _block(published, "kinematical")),
        ("Dynamical", _REFINEMENT, _block(summary, "dynamical"), _block(published, "dynamical")),
    )
    rows = [
        Row(group=group, quantity=quantity, unit=unit, ours=_number(ours, key), study=_number(theirs, key), decimals=d)
        for group, table, ours, theirs in groups
        for quantity, unit, key, d in table
    ]
    rows += _occupancy_rows(averaged, published, "kinematical", "Occupancies, kinematical")
    rows += _occupancy_rows(_block(summary, "dynamical"), published, "dynamical", "Occupancies, dynamical")
    rows += _treatment_rows(summary, published)
    return tuple(r for r in rows if r.ours is not None or r.study is not None)


def _occupancy_rows(ours: Any, published: Mapping[str, Any], block: str, group: str) -> list[Row]:
    mine, theirs = _block(ours, "occupancies"), _block(_block(published, block), "occupancies")
    return [
        Row(group=group, quantity=label, unit="", ours=_number(mine, label), study=_number(theirs, label), decimals=3)
        for label in dict.fromkeys([*mine, *theirs])
    ]


def _treatment_rows(summary: Mapping[str, Any], published: Mapping[str, Any]) -> list[Row]:
    """Table 3; only where there is more than the averaged refinement to show."""
    treatment, blocks = _block(published, "treatment"), _block(summary, "kinematical")
    rows = []
    for name, key, published_key in _TREATMENTS:
        block = _block(summary, "dynamical") if key is None else _block(blocks, key)
        ours, theirs = _number(block, "r_obs_percent"), _number(treatment, published_key)
        rows.append(Row(group=TREATMENT_GROUP, quantity=name, unit="%", ours=ours, study=theirs))
    frame_wise = [r for r in rows[1:3] if r.ours is not None or r.study is not None]
    return rows if frame_wise else []


def study_table(*, summary: Mapping[str, Any], study: Mapping[str, Any] | None, title: str = "") -> Table:
    """The same rows for the terminal."""
    table = Table(title=title or str(summary["scenario"]), title_justify="left")
    table.add_column("")
    table.add_column("this run", justify="right")
    table.add_column("study", justify="right")
    group = ""
    for row in study_rows(summary=summary, study=study):
        if row.group != group:
            group = row.group
            table.add_section()
            table.add_row(f"[bold]{group}[/bold]", "", "")
        unit = f" / {row.unit}" if row.unit else ""
        table.add_row(f"  {row.quantity}{unit}", row.text(row.ours), row.text(row.study))
    return table


def _block(mapping: Any, name: str) -> Mapping[str, Any]:
    found = mapping.get(name) if isinstance(mapping, Mapping) else None
    return found if isinstance(found, Mapping) else {}


def _number(mapping: Any, name: str) -> float | None:
    value = mapping.get(name) if isinstance(mapping, Mapping) else None
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None
