"""All rows of `edtwin validate reduction`: known truth beside DIALS, the study's series, and measured series beside
what was published. Parts that are done are kept beside the rows and not made again (parts.py)."""

from __future__ import annotations

import shutil
from pathlib import Path

from threadpoolctl import threadpool_limits

from validation.reduction.conditions import HARD, IDEAL, WEAK, Conditions
from validation.reduction.distortion_rows import distortion_rows
from validation.reduction.known_rows import known_rows, warm_up
from validation.reduction.page import write_page
from validation.reduction.parts import DISTORTED, KNOWN, REAL, STUDY, part_rows
from validation.reduction.real import real_rows
from validation.reduction.study_rows import SERIES, study_rows
from validation.rows import Row, write_rows


def run_reduction(*, out: Path, quick: bool, page: Path | None = None) -> list[Row]:
    """Write ``out``/reduction.json (and the page), anew after each part; returns the rows. ``quick``: the ideal series
    and real data only."""
    kept, frames = out / "reduction-kept", out / "reduction-frames"
    rows: list[Row] = []

    def done(more: list[Row]) -> None:
        rows.extend(more)
        write_rows(out / "reduction.json", rows)
        if page is not None:
            write_page(page, rows)

    def known(conditions: Conditions) -> list[Row]:
        warm_up()
        made = known_rows(conditions, frames / conditions.name)
        shutil.rmtree(frames / conditions.name)
        return made

    with threadpool_limits(1):
        for conditions in (IDEAL,) if quick else (IDEAL, HARD, WEAK):
            done(part_rows(kept, conditions.name, KNOWN, lambda c=conditions: known(c)))  # type: ignore[misc]
        if not quick:
            done(part_rows(kept, "distorted", DISTORTED, distortion_rows))
        done(part_rows(kept, "measured", REAL, real_rows))
        for name, kind in () if quick else SERIES:
            folder = frames / name
            done(part_rows(kept, name, STUDY, lambda n=name, k=kind, f=folder: study_rows(n, k, f)))  # type: ignore[misc]
    return rows
