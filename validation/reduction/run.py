"""All rows of `edtwin validate reduction`: known truth beside DIALS, the study's series, and measured series beside
what was published."""

from __future__ import annotations

import tempfile
from pathlib import Path

from threadpoolctl import threadpool_limits

from validation.reduction.distortion_rows import distortion_rows
from validation.reduction.frames import HARD, IDEAL, WEAK
from validation.reduction.known_rows import known_rows, warm_up
from validation.reduction.page import write_page
from validation.reduction.real import real_rows
from validation.reduction.study_rows import study_rows
from validation.rows import Row, write_rows


def run_reduction(*, out: Path, quick: bool, page: Path | None = None) -> list[Row]:
    """Write ``out``/reduction.json (and the page); returns the rows. ``quick``: the ideal series and real data only."""
    rows: list[Row] = []
    with tempfile.TemporaryDirectory() as name, threadpool_limits(1):
        warm_up()
        for conditions in (IDEAL,) if quick else (IDEAL, HARD, WEAK):
            rows += known_rows(conditions, Path(name) / conditions.name)
        if not quick:
            rows += distortion_rows()
            rows += study_rows(Path(name))
    rows += real_rows()
    write_rows(out / "reduction.json", rows)
    if page is not None:
        write_page(page, rows)
    return rows
