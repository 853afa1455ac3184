"""Rows on reduction and solution of one scenario: issue 5 asks for the right group and small deviations."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from validation.mountings.figures import median_row, share_row, values
from validation.mountings.jobs import SERIAL
from validation.mountings.record import Record
from validation.mountings.study import NOTHING, STUDY
from validation.rows import Row

RIGHT_PERCENT, BEFORE_ANGSTROM, ORIENTATION_DEG = 95.0, 0.1, 0.05
RIGHT_STILLS = (80.0, 100.0)  # percent
MEDIAN_OF_STILLS = ("orientation", "median_error_deg")


def claimed(record: Record) -> bool:
    """Whether the verdict is 'solved', without a doubt."""
    return str(record.get("solution", "verdict") or "").startswith("solved")


def right(record: Record) -> bool:
    """Right group."""
    return bool(record.get("solution", "space_group_correct"))


def whole(record: Record) -> bool:
    """Right group, every atom, and none too many."""
    return right(record) and record.get("solution", "missing_atoms") == 0 == record.get("solution", "spurious_atoms")


def goal_rows(name: str, records: Sequence[Record]) -> list[Row]:
    """What is asked of a solution, over every run that was begun; what gave up counts as not solved."""
    prefix = f"mount-{name}"
    return [
        share_row(f"{prefix}-group", f"{name}: right group", [right(r) for r in records], least=RIGHT_PERCENT,
                  note=_lost(records)),
        share_row(f"{prefix}-whole", f"{name}: right group, all atoms and none spurious", [whole(r) for r in records]),
        share_row(f"{prefix}-claimed", f"{name}: verdict 'solved'", [claimed(r) for r in records]),
        _false_row(prefix, name, records),
        *_before_rows(prefix, name, records),
    ]  # fmt: skip


def _false_row(prefix: str, name: str, records: Sequence[Record]) -> Row:
    false = sum(claimed(r) and not whole(r) for r in records)
    return Row(
        id=f"{prefix}-false", quantity=f"{name}: verdict 'solved' though wrong", value=float(false), unit="",
        goal="<= 0", met=false == 0, n=len(records),
    )  # fmt: skip


def _lost(records: Sequence[Record]) -> str:
    """Which were not found in the right group, and what was said instead."""
    lost = [r for r in records if not right(r)]
    said = [f"{r.seed}: {r.complaint or r.get('solution', 'verdict') or 'no solution'}" for r in lost]
    return "; ".join(text[:150] for text in said)[:500]


def _before_rows(prefix: str, name: str, records: Sequence[Record]) -> list[Row]:
    """Deviations of the solution itself, of the runs with the right group."""
    found = values([r for r in records if right(r)], "solution", "max_distance_angstrom")
    if not found:
        return []
    worst = max(found)
    return [
        median_row(f"{prefix}-before-median", f"{name}: largest deviation before refinement", found, "Å"),
        Row(
            id=f"{prefix}-before", quantity=f"{name}: largest deviation before refinement, worst mounting", value=worst,
            unit="Å", goal=f"< {BEFORE_ANGSTROM:g}", met=worst < BEFORE_ANGSTROM, n=len(found),
            note=f"below in {100 * np.mean(np.array(found) < BEFORE_ANGSTROM):.0f} %",
        ),
    ]  # fmt: skip


def data_rows(name: str, records: Sequence[Record]) -> list[Row]:
    """What the reduction came to."""
    study = STUDY.get(name, NOTHING)
    r_int = None if study.r_int != study.r_int else study.r_int
    shown: list[tuple[str, tuple[str, str], str, float | None, float | None]] = [
        ("R(int)", ("data", "r_int_percent"), "%", r_int, None),
        ("completeness", ("data", "completeness_percent"), "%", None, None),
        ("redundancy", ("data", "redundancy"), "", None, None),
    ]
    if name == SERIAL:
        shown.append(("orientation of stills, median of a series", MEDIAN_OF_STILLS, "°", None, None))
    else:
        shown.append(("orientation of frames, rms", ("orientation", "rms_error_deg"), "°", None, ORIENTATION_DEG))
    rows = []
    for title, keys, unit, peer, limit in shown:
        found = values(records, *keys)
        if found:
            rows.append(median_row(f"mount-{name}-{keys[-1]}", f"{name}: {title}", found, unit, peer=peer, most=limit))
    return rows + (_still_rows(name, records) if name == SERIAL else [])


def _still_rows(name: str, records: Sequence[Record]) -> list[Row]:
    """Stills have no neighbours that hold them: one with another orientation of the lattice is off by up to 90°, and
    says more about how many there are than about how well the others lie (claim C35)."""
    found = values(records, "orientation", "right_frames_percent")
    if not found:
        return []
    title = f"{name}: stills within 1° of the truth, modulo the Laue class"
    rms = values(records, "orientation", "rms_error_deg")
    note = f"rms over all {min(rms):.1f} to {max(rms):.1f}°" if rms else ""
    return [median_row(f"mount-{name}-right_frames_percent", title, found, "%", inside=RIGHT_STILLS, note=note)]
