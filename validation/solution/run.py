"""All rows of `edtwin validate solution`."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from validation.rows import Row, at_least, at_most, write_rows
from validation.solution.conditions import CONDITIONS
from validation.solution.materials import OTHERS, STUDY
from validation.solution.measured import data_folder, measured_outcomes
from validation.solution.page import write_page
from validation.solution.peer import cctbx_rows
from validation.solution.trial import Trial, run_trials

FIRST_SEED = 100  # seeds below it were used while the limits of the verdict were chosen
QUICK, FULL = 1, 10
OTHER_CONDITIONS = ("clean", "noise 20 %", "I^0.75")


def run_solution(*, out: Path, quick: bool, page: Path | None = None) -> list[Row]:
    """Write ``out``/solution.json (and the page); returns the rows."""
    count = QUICK if quick else FULL
    study = list(run_trials(STUDY, seeds=range(FIRST_SEED, FIRST_SEED + count)))
    conditions = {name: CONDITIONS[name] for name in OTHER_CONDITIONS}
    others = list(run_trials(OTHERS, seeds=range(FIRST_SEED, FIRST_SEED + max(1, count // 3)), conditions=conditions))
    with tempfile.TemporaryDirectory() as name:
        peer = cctbx_rows(study, folder=Path(name), seeds=[FIRST_SEED])
    rows = [*study_rows(study), *peer, *group_rows(others), *measured_rows()]
    write_rows(out / "solution.json", rows)
    if page is not None:
        write_page(page, rows)
    return rows


def study_rows(trials: Sequence[Trial]) -> list[Row]:
    """The four materials under the eleven conditions: totals, then one row for each pair."""
    if not trials:
        return []
    right = 100.0 * float(np.mean([t.right and t.claimed for t in trials]))
    false = sum(t.false_accept for t in trials)
    median = float(np.median([t.cpu_s for t in trials]))
    quiet = [t for t in trials if t.right and not t.claimed]
    n = len(trials)
    goal, met = at_least(right, 99.0)
    goal_false, met_false = at_most(false, 0)
    goal_time, met_time = at_most(median, 2.0)
    rows = [
        Row(id="study-right", quantity="solved, right group, all atoms within 0.2 Å", value=right, unit="%", goal=goal,
            met=met, n=n),
        Row(id="study-false", quantity="false accepts at 'solved'", value=float(false), unit="", goal=goal_false,
            met=met_false, n=n),
        Row(id="study-quiet", quantity="right, but said 'ambiguous' or 'not solved'", value=float(len(quiet)), unit="",
            n=n),
        Row(id="study-cpu", quantity="CPU of a solution, median", value=median, unit="s", goal=goal_time, met=met_time,
            n=n),
        Row(id="study-cpu-max", quantity="CPU of a solution, longest", value=max(t.cpu_s for t in trials), unit="s",
            n=n),
    ]  # fmt: skip
    for material in dict.fromkeys(t.material for t in trials):
        for condition in dict.fromkeys(t.condition for t in trials):
            own = [t for t in trials if t.material == material and t.condition == condition]
            if own:
                rows.append(_pair_row(f"pair-{material}-{condition}", f"{material}, {condition}", own))
    return rows


def group_rows(trials: Sequence[Trial]) -> list[Row]:
    """Other groups: one row for each crystal."""
    return [
        _pair_row(f"group-{material}", f"{material} ({OTHERS[material].source})",
                  [t for t in trials if t.material == material])
        for material in dict.fromkeys(t.material for t in trials)
    ]  # fmt: skip


def _pair_row(identifier: str, quantity: str, trials: Sequence[Trial]) -> Row:
    share = 100.0 * float(np.mean([t.right and t.claimed for t in trials]))
    false = sum(t.false_accept for t in trials)
    right = sum(t.right for t in trials)
    seconds = float(np.median([t.cpu_s for t in trials]))
    return Row(id=identifier, quantity=quantity, value=share, unit="% solved", n=len(trials),
               note=f"right {right}, false accepts {false}, {seconds:.2f} s")  # fmt: skip


def measured_rows() -> list[Row]:
    """Measured intensities: largest distance from the published structure."""
    rows = []
    for outcome in measured_outcomes(data_folder()):
        comparison, case = outcome.comparison, outcome.case
        complete = comparison is not None and not comparison.missing and not comparison.spurious
        group = comparison is not None and comparison.same_space_group
        value = None if comparison is None else comparison.max_distance_angstrom
        rows.append(Row(
            id=f"measured-{case.name}", quantity=f"{case.name}: largest distance from the published structure",
            value=value, unit="Å", goal="<= 0.2, right group, all atoms and elements",
            met=bool(complete and group and value is not None and value <= 0.2), n=outcome.reflections,
            note=f"{outcome.solution.verdict}; {outcome.cpu_s:.1f} s",
        ))  # fmt: skip
    return rows
