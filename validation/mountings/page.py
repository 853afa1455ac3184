"""The page docs/validation/mountings.md, and the study's entry for ``edtwin validate mountings``."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from validation.mountings.record import Record, read_records
from validation.mountings.run import STUDY_ROWS, jobs_of, run_mountings
from validation.mountings.tables import mounting_rows
from validation.rows import Row, markdown_table, write_rows

FOLDER = "mountings"
COUNT = 20
_HEAD = """# The study's rows over many mountings: validation

Made by `edtwin validate mountings{flag} --pages docs/validation`; do not edit. A run is
`edtwin run SCENARIO --set seed=N`, from frames to refined structures; the seed decides how the particle lies and all
noise. Every run is kept as a record, so that the command goes on where it was stopped. Runs that gave up count as not
solved; their reason stands in the note. R(obs) and deviations are of runs that came to their end. Pulls are deviations
of free coordinates from the truth over their s.u.s. {state}

"""


def run_study(*, out: Path, quick: bool, page: Path | None = None) -> list[Row]:
    """20 mountings of every row of the study (``quick``: one of anatase) and the rows made of them."""
    jobs = jobs_of(("anatase",) if quick else STUDY_ROWS, count=1 if quick else COUNT)
    records = run_mountings(jobs, folder=out / FOLDER, workers=2, keep_runs=False)
    rows = mounting_rows(records)
    write_rows(out / f"{FOLDER}.json", rows)
    if page is not None:
        page.parent.mkdir(parents=True, exist_ok=True)
        head = _HEAD.format(flag=" --quick" if quick else "", state=state_of(records))
        page.write_text(head + markdown_table(rows), encoding="utf-8")
    return rows


def known_records(out: Path, *, quick: bool) -> tuple[Record, ...]:
    """What ``edtwin validate mountings`` left in the same folder; one mounting of anatase (and ITO) when nothing."""
    there = read_records(out / FOLDER)
    if there:
        return there
    jobs = jobs_of(("anatase",) if quick else ("anatase", "ito-01"), count=1)
    return run_mountings(jobs, folder=out / FOLDER, keep_runs=False)


def state_of(records: Sequence[Record]) -> str:
    """How many runs there are, and of how many states of the code."""
    codes = len({r.code for r in records})
    return (
        f"{len(records)} records of {codes} state{'s' if codes != 1 else ''} of the code, where goals ask for {COUNT} "
        "mountings of each row: n says how many stand behind a figure."
    )
