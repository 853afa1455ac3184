"""All rows of `edtwin validate solution`."""

from __future__ import annotations

import tempfile
from pathlib import Path

from validation.kept import kept_rows
from validation.realdata import data_folder
from validation.rows import Row, write_rows
from validation.solution.conditions import ELEVEN, NONSENSE, THICK
from validation.solution.flipping import VARIANTS, option_rows
from validation.solution.journal import Journal, code_digest, rows_digest, settings_digest
from validation.solution.matcher import matcher_rows
from validation.solution.materials import OTHERS, STUDY
from validation.solution.measured import CASES
from validation.solution.page import write_page
from validation.solution.peer import cctbx_rows
from validation.solution.settings import setting_tasks
from validation.solution.tables import (
    group_rows,
    measured_rows,
    nonsense_rows,
    setting_rows,
    study_rows,
    thick_rows,
)
from validation.solution.trial import tasks

FIRST_SEED = 2000  # seeds below it were used while the solver was made
REALISATIONS, OTHERS_EACH, THICK_EACH, NONSENSE_EACH = 10, 3, 3, 1
OTHER_CONDITIONS = ("clean", "noise 20 %", "I^0.75", "all together")
PEER_SEEDS, OPTION_SEEDS, QUICK_SETTINGS = 5, 3, 60


def run_solution(*, out: Path, quick: bool, page: Path | None = None) -> list[Row]:
    """Write ``out``/solution.json (and the page); returns the rows.

    Every trial is kept in ``out``/solution-trials.jsonl, and the rows of measured lists and peers beside it; they are
    not made again while the code is the same.
    """
    journal = Journal(out / "solution-trials.jsonl", code=code_digest())

    def seeds(count: int) -> range:
        return range(FIRST_SEED, FIRST_SEED + (1 if quick else count))

    study = list(journal.completed(tasks(STUDY, ELEVEN, seeds=seeds(REALISATIONS))))
    thick = list(journal.completed(tasks(STUDY, THICK, seeds=seeds(THICK_EACH))))
    nonsense = list(journal.completed(tasks(STUDY | OTHERS, NONSENSE, seeds=seeds(NONSENSE_EACH))))
    chosen = {name: ELEVEN[name] for name in OTHER_CONDITIONS}
    others = list(journal.completed(tasks(OTHERS, chosen, seeds=seeds(OTHERS_EACH))))
    drawn = Journal(out / "solution-settings.jsonl", code=settings_digest())
    settings = list(drawn.completed(setting_tasks(every=QUICK_SETTINGS if quick else 1)))
    peer_seeds = seeds(PEER_SEEDS)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        peer = kept_rows(out / "solution-cctbx.json", code=rows_digest(), recipe=str(peer_seeds),
                         make=lambda: cctbx_rows(study, folder=folder, seeds=peer_seeds))  # fmt: skip
        matcher = kept_rows(out / "solution-matcher.json", code=rows_digest(),
                            make=lambda: matcher_rows(folder=folder))  # fmt: skip
    option_seeds = seeds(OPTION_SEEDS)
    options = kept_rows(out / "solution-options.json", code=rows_digest(), recipe=repr((option_seeds, VARIANTS)),
                        make=lambda: option_rows(seeds=option_seeds))  # fmt: skip
    measured = kept_rows(out / "solution-measured.json", code=rows_digest(), recipe=repr(CASES),
                         make=lambda: measured_rows(data_folder()))  # fmt: skip
    rows = [*study_rows(study), *thick_rows(thick), *nonsense_rows(nonsense), *peer, *options,
            *setting_rows(settings), *group_rows(others), *measured, *matcher]  # fmt: skip
    write_rows(out / "solution.json", rows)
    if page is not None:
        write_page(page, rows)
    return rows
