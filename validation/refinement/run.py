"""All rows of `edtwin validate refinement`."""

from __future__ import annotations

from pathlib import Path

from threadpoolctl import threadpool_limits

from twin.files.errors import InputError
from validation.refinement.agreement import agreement_rows
from validation.refinement.measured import CASES, case_rows, hand_row
from validation.refinement.page import write_page
from validation.refinement.published import data_folder
from validation.rows import Row, write_rows


def run_refinement(*, out: Path, quick: bool, page: Path | None = None) -> list[Row]:
    """Write ``out``/refinement.json, after every case anew, and the page; returns the rows.

    ``quick``: every sixth frame (every tenth of urea).
    """
    folder = data_folder()
    if folder is None:
        raise InputError("edtwin validate refinement needs measured data: name their folder by EDTWIN_REALDATA")
    with threadpool_limits(1):
        rows = agreement_rows(folder, quick=quick)
        write_rows(out / "refinement.json", rows)
        for case in CASES:
            found, more = case_rows(case, folder, quick=quick)
            rows += more
            if case.id == "quartz-pets":
                rows.append(hand_row(case, folder, found, quick=quick))
            write_rows(out / "refinement.json", rows)
    if page is not None:
        write_page(page, rows, quick=quick)
    return rows
