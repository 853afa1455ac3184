"""Rows of the study's own series: dynamical frames of the twin, reduced as a laboratory would; the study beside them.

The frames are made and reduced by the command line in a process of its own (the twin's scenarios lie above this
package); the figures are those of its ``summary.json``.
"""

from __future__ import annotations

import json
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from validation.command import edtwin
from validation.rows import Row, at_most

SERIES: tuple[tuple[str, str], ...] = (  # scenario, how it was taken
    ("ito-01", "PEDT"),
    ("anatase", "PEDT"),
    ("brookite-iit", "cRED"),
    ("brookite-cnrs-01", "PEDT"),
    ("ito-02", "PEDT"),
    ("mgti2o5", "PEDT"),
    ("brookite-ua", "cRED"),
    ("brookite-cnrs-02", "PEDT"),
    ("brookite-cnrs-03", "PEDT"),
    ("brookite-cnrs-04", "PEDT"),
)
GOALS = (
    ("rms_error_deg", "orientation, rms", "°", "orientation", 0.05),
    ("max_ratio_error_percent", "error of the ratios of the cell", "%", "cell", 0.1),
)
FIGURES = (
    ("r_int_percent", "R_int", "%", "r_int"),
    ("completeness_percent", "completeness", "%", "completeness"),
    ("redundancy", "redundancy", "", "redundancy"),
)


def _steps(name: str, folder: Path) -> str:
    """Simulate, reduce and sum up; '' or the last line of what went wrong."""
    for words in (["simulate", name, "-o", str(folder)], ["reduce", str(folder)], ["report", str(folder)]):
        ended = edtwin(*words)
        if ended.code != 0:
            return f"edtwin {words[0]}: {ended.said[-120:] or 'no message'}"
    return ""


def _published(folder: Path) -> Mapping[str, Any]:
    with (folder / "scenario.toml").open("rb") as file:
        study = tomllib.load(file).get("study", {})
    return dict(study.get("data", {}))


def study_rows(name: str, kind: str, folder: Path) -> list[Row]:
    """Of one of :data:`SERIES`, simulated in ``folder`` unless it is there; goals are missed where it failed."""
    failed = _steps(name, folder)
    summary = {} if failed else json.loads((folder / "summary.json").read_text(encoding="utf-8"))
    study = {} if failed else _published(folder)

    def row(key: str, quantity: str, unit: str, value: float | None, **more: Any) -> Row:
        return Row(id=f"{name}-{key}", quantity=f"{name} ({kind}): {quantity}", value=value, unit=unit, **more)

    def of(part: str, key: str) -> float | None:
        found = summary.get(part, {}).get(key)
        return None if found is None else float(found)

    rows = [
        row(key, quantity, unit, of("data", key), peer="the study", peer_value=study.get(key, study.get(short)))
        for key, quantity, unit, short in FIGURES
    ]
    for key, quantity, unit, part, limit in GOALS:
        value = of(part, key)
        goal, met = at_most(float("inf") if value is None else value, limit)
        frames = int(of("frames", "count") or 1)
        rows.append(row(key, quantity, unit, value, goal=goal, met=met, note=failed, n=frames))
    rows.append(row("cc", "CC of spots with the true electrons", "", of("intensity", "cc_with_truth")))
    return rows
