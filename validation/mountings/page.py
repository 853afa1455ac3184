"""The page docs/validation/mountings.md, and the study's entry for ``edtwin validate mountings``."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from validation.mountings.jobs import STUDY_ROWS, jobs_of
from validation.mountings.record import FOLDER, Record, read_records
from validation.mountings.run import run_mountings
from validation.mountings.tables import mounting_rows, refinement_table, solution_table, state_table
from validation.rows import Row, markdown_table, write_markdown, write_rows

COUNT = 20
_HEAD = """# The study's rows over many mountings: validation

Made by `edtwin validate mountings{flag} --pages docs/validation`; do not edit. Each run is the chain of `edtwin run
SCENARIO --set seed=N`: frames, reduction, solution and, for the rows of issue 6, the refinements. The seed decides how
the particle lies, and all noise. Of every run a record is kept when it is solved and again when it is refined, so that
the command goes on where it was stopped, seed by seed. Runs that gave up count as not solved; what they said stands in
the note. Figures in brackets are the study's (ACS Nano 2025, 19, 20599).

Right group, atoms and deviations before refinement are those of the solution, from averaged intensities, compared with
the truth after origin, setting and hand were matched. R(obs) and deviations of refinements are medians over the runs
that came to their end; pulls are deviations of free coordinates from the truth over their s.u.s, pooled. The twin's
particles are perfect (no bending, no mosaic, no surface layer): absolute R values below the study's say nothing.
`ito-03` is serial: its reduction is given the cell and the Laue class.
"""
_STATE = """
## State of the code

{count} records, where the goals ask for {asked} mountings of each row: n says how many stand behind a figure. A record
of an earlier state of the code is kept and counted here; to have it made anew, delete its file (the run goes on from
its frames when those are there). Where only the solution's code is another one, the reflections are solved again: the
record holds when the atoms are the same to the last digit, and is made anew when they are not. A digest is over all
files of the packages, also those that these runs do not use.

"""
SECTIONS = (
    ("Goals: solution on the twin's dynamical frames", ("-group", "-before", "-false")),
    ("Goals: refinement against the truth", ("-nearer", "-mean-dynamical", "-pulls-dynamical", "mount-pairs",
                                              "mount-order", "mount-gap", "mount-ratio")),
    ("Goals: occupancies and the null", ("mount-occupanc", "mount-random", "mount-null")),
)  # fmt: skip


def run_study(*, out: Path, quick: bool, page: Path | None = None) -> list[Row]:
    """20 mountings of every row of the study (``quick``: one of anatase) and the rows made of them.

    Rows and page are written at the start, from the records that are there, and after every seed: a study that is cut
    off leaves both.
    """
    folder = out / FOLDER
    jobs = jobs_of(("anatase",) if quick else STUDY_ROWS, count=1 if quick else COUNT)
    rows = write_study(read_records(folder), out=out, quick=quick, page=page)
    for seed in dict.fromkeys(job.seed for job in jobs):
        records = run_mountings([job for job in jobs if job.seed == seed], folder=folder, workers=2)
        rows = write_study(records, out=out, quick=quick, page=page)
    return rows


def write_study(records: Sequence[Record], *, out: Path, quick: bool = False, page: Path | None = None) -> list[Row]:
    """The rows of the records, as a file and (``page``) as a page."""
    rows = mounting_rows(records)
    write_rows(out / f"{FOLDER}.json", rows)
    if page is not None:
        write_markdown(page, [page_text(records, rows, flag=" --quick" if quick else "")])
    return rows


def page_text(records: Sequence[Record], rows: Sequence[Row], *, flag: str = "") -> str:
    """The whole page: two tables with a line for each row of the study, the goals, everything else."""
    parts = [_HEAD.format(flag=flag)]
    parts.append(f"\n## Solution, row by row\n\n{solution_table(records)}")
    parts.append(f"\n## Refinement, row by row\n\n{refinement_table(records)}")
    left = list(rows)
    for title, marks in SECTIONS:
        chosen = [row for row in left if _belongs(row.id, marks)]
        left = [row for row in left if row not in chosen]
        if chosen:
            parts.append(f"\n## {title}\n\n{markdown_table(chosen)}")
    if left:
        parts.append(f"\n## Everything else\n\n{markdown_table(left)}")
    parts.append(_STATE.format(count=len(records), asked=COUNT) + state_table(records))
    return "".join(parts)


def _belongs(identifier: str, marks: Sequence[str]) -> bool:
    return any(identifier.startswith(m) if m.startswith("mount") else identifier.endswith(m) for m in marks)


def known_records(out: Path, *, quick: bool) -> tuple[Record, ...]:
    """What ``edtwin validate mountings`` left in the same folder; one mounting of anatase (and ITO) when nothing."""
    there = read_records(out / FOLDER)
    if there:
        return there
    jobs = jobs_of(("anatase",) if quick else ("anatase", "ito-01"), count=1)
    return run_mountings(jobs, folder=out / FOLDER)
