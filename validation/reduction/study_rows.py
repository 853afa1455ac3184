"""Rows of the study's own series: dynamical frames of the twin, reduced as a laboratory would; the study beside them.

The frames are made and reduced by the command line in a process of its own (the twin's scenarios lie above this
package); the figures are those of its ``summary.json``.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from validation.rows import Row, at_most

SERIES: tuple[tuple[str, str, float | None], ...] = (  # scenario, how it was taken, goal for the orientations in °
    ("ito-01", "PEDT", 0.05),
    ("anatase", "PEDT", 0.05),
    ("brookite-iit", "cRED", None),
)
FIGURES = (
    ("r_int_percent", "R_int", "%", "r_int"),
    ("completeness_percent", "completeness", "%", "completeness"),
    ("redundancy", "redundancy", "", "redundancy"),
)


def _steps(name: str, folder: Path) -> str:
    """Simulate, reduce and sum up; '' or the last line of what went wrong."""
    for words in (["simulate", name, "-o", str(folder)], ["reduce", str(folder)], ["report", str(folder)]):
        code = "from scenarios.cli import main; main()"
        done = subprocess.run([sys.executable, "-c", code, *words], capture_output=True, text=True, check=False)
        if done.returncode != 0:
            lines = [line for line in (done.stdout + done.stderr).splitlines() if line.strip()]
            return f"edtwin {words[0]}: {lines[-1].strip()[:120] if lines else 'no message'}"
    return ""


def _published(folder: Path) -> Mapping[str, Any]:
    with (folder / "scenario.toml").open("rb") as file:
        study = tomllib.load(file).get("study", {})
    return dict(study.get("data", {}))


def study_rows(folder: Path) -> list[Row]:
    """Of every series in :data:`SERIES`."""
    rows: list[Row] = []
    for name, kind, limit in SERIES:
        run = folder / name
        failed = _steps(name, run)
        if failed:
            rows.append(Row(id=f"{name}-failed", quantity=f"{name}: reduced", value=None, unit="", note=failed))
            continue
        summary = json.loads((run / "summary.json").read_text(encoding="utf-8"))
        rows += _rows(name, kind, limit, summary, _published(run))
    return rows


def _rows(name: str, kind: str, limit: float | None, summary: Mapping[str, Any], study: Mapping[str, Any]) -> list[Row]:
    data, turn, cell = summary["data"], summary["orientation"], summary["cell"]
    frames = summary["frames"]["count"]
    rows = [
        Row(
            id=f"{name}-{key}",
            quantity=f"{name} ({kind}): {quantity}",
            value=data[key],
            unit=unit,
            peer="the study",
            peer_value=study.get(key, study.get(short)),
        )
        for key, quantity, unit, short in FIGURES
    ]
    rms = turn["rms_error_deg"]
    goal, met = ("", None) if limit is None else at_most(rms if rms is not None else float("inf"), limit)
    rows.append(
        Row(
            id=f"{name}-turn",
            quantity=f"{name} ({kind}): orientation, rms",
            value=rms,
            unit="°",
            goal=goal,
            met=met,
            n=frames,
        )
    )
    ratio = cell["max_ratio_error_percent"]
    goal, met = at_most(ratio if ratio is not None else float("inf"), 0.1)
    rows.append(
        Row(
            id=f"{name}-ratio",
            quantity=f"{name} ({kind}): error of the ratios of the cell",
            value=ratio,
            unit="%",
            goal=goal,
            met=met,
        )
    )
    cc = summary["intensity"]["cc_with_truth"]
    rows.append(
        Row(id=f"{name}-cc", quantity=f"{name} ({kind}): CC of spots with the true electrons", value=cc, unit="")
    )
    return rows
