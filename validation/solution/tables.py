"""Trials and outcomes as rows of the page."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import gemmi
import numpy as np

from validation.rows import Row, at_least, at_most
from validation.solution.materials import OTHERS
from validation.solution.measured import LIMIT_ANGSTROM, Outcome, measured_outcomes
from validation.solution.settings import NOT_DRAWN
from validation.solution.trial import Trial

SOLVED_PERCENT, CPU_S = 99.0, 2.0  # the goals


def study_rows(trials: Sequence[Trial]) -> list[Row]:
    """The four materials under the eleven conditions: totals, then one row for each pair."""
    if not trials:
        return []
    rows = _totals(trials, prefix="study")
    for material in dict.fromkeys(t.material for t in trials):
        for condition in dict.fromkeys(t.condition for t in trials):
            own = [t for t in trials if t.material == material and t.condition == condition]
            if own:
                rows.append(_pair_row(f"pair-{material}-{condition}", f"{material}, {condition}", own))
    return rows


def setting_rows(trials: Sequence[Trial]) -> list[Row]:
    """Random structures in every setting: totals, a line for each lattice system, and what was not solved."""
    drawn = [t for t in trials if t.verdict != NOT_DRAWN]
    if not drawn:
        return []
    without = ", ".join(t.material for t in trials if t.verdict == NOT_DRAWN)
    rows = [Row(id="setting-drawn", quantity="settings for which a structure was drawn", value=float(len(drawn)),
                unit="", n=len(trials), note=f"none for {without}" if without else ""),
            *_totals(drawn, prefix="setting")]  # fmt: skip
    for system in dict.fromkeys(_system(t) for t in drawn):
        own = [t for t in drawn if _system(t) == system]
        rows.append(_pair_row(f"setting-{system}", system, own))
    return rows


def _system(trial: Trial) -> str:
    return str(gemmi.SpaceGroup(trial.material).crystal_system_str())


def _totals(trials: Sequence[Trial], *, prefix: str) -> list[Row]:
    n = len(trials)
    false = sum(t.false_accept for t in trials)
    goal, met = at_least(_solved(trials), SOLVED_PERCENT)
    goal_false, met_false = at_most(false, 0)
    median = float(np.median([t.cpu_s for t in trials]))
    goal_time, met_time = at_most(median, CPU_S)
    return [
        Row(id=f"{prefix}-right", quantity="solved, right group, all atoms within 0.2 Å", value=_solved(trials),
            unit="%", goal=goal, met=met, n=n, note=_missed(trials)),
        Row(id=f"{prefix}-false", quantity="false accepts at 'solved'", value=float(false), unit="",
            goal=goal_false, met=met_false, n=n),
        Row(id=f"{prefix}-quiet", quantity="right, but said 'ambiguous' or 'not solved'",
            value=float(sum(t.right and not t.claimed for t in trials)), unit="", n=n),
        Row(id=f"{prefix}-cpu", quantity="CPU of a solution, median", value=median, unit="s", goal=goal_time,
            met=met_time, n=n),
        Row(id=f"{prefix}-cpu-max", quantity="CPU of a solution, longest", value=max(t.cpu_s for t in trials), unit="s",
            n=n),
    ]  # fmt: skip


def _solved(trials: Sequence[Trial]) -> float:
    return 100.0 * float(np.mean([t.right and t.claimed for t in trials]))


def _missed(trials: Sequence[Trial]) -> str:
    """Which trials were not solved, and what was said instead."""
    missed = [t for t in trials if not (t.right and t.claimed)]
    return "; ".join(f"{t.material}, {t.condition}, seed {t.seed}: {t.verdict}" for t in missed[:6])


def thick_rows(trials: Sequence[Trial]) -> list[Row]:
    """Two-beam intensities of thick crystals."""
    if not trials:
        return []
    false = sum(t.false_accept for t in trials)
    goal, met = at_most(false, 0)
    rows = [
        _pair_row(f"thick-{condition}", f"four materials, {condition}", [t for t in trials if t.condition == condition])
        for condition in dict.fromkeys(t.condition for t in trials)
    ]
    return [*rows, Row(id="thick-false", quantity="false accepts at 'solved'", value=float(false), unit="", goal=goal,
                       met=met, n=len(trials), note=_missed(trials))]  # fmt: skip


def nonsense_rows(trials: Sequence[Trial]) -> list[Row]:
    """Random intensities: nothing may be called solved."""
    if not trials:
        return []
    claimed = sum(t.verdict.startswith(("solved", "ambiguous")) for t in trials)
    goal, met = at_most(claimed, 0)
    return [Row(id="nonsense", quantity="random intensities of every crystal's cell called 'solved' or 'ambiguous'",
                value=float(claimed), unit="", goal=goal, met=met, n=len(trials))]  # fmt: skip


def group_rows(trials: Sequence[Trial]) -> list[Row]:
    """Other groups: false accepts of all, then one row for each crystal."""
    if not trials:
        return []
    false = sum(t.false_accept for t in trials)
    goal, met = at_most(false, 0)
    rows = [Row(id="group-false", quantity="all: false accepts at 'solved'", value=float(false), unit="", goal=goal,
                met=met, n=len(trials))]  # fmt: skip
    for material in dict.fromkeys(t.material for t in trials):
        own = [t for t in trials if t.material == material]
        rows.append(_pair_row(f"group-{material}", f"{material} ({OTHERS[material].source})", own))
    return rows


def _pair_row(identifier: str, quantity: str, trials: Sequence[Trial]) -> Row:
    false = sum(t.false_accept for t in trials)
    right = sum(t.right for t in trials)
    ambiguous = sum(t.verdict.startswith("ambiguous") for t in trials)
    seconds = float(np.median([t.cpu_s for t in trials]))
    note = f"right {right}, ambiguous {ambiguous}, false accepts {false}, {seconds:.2f} s"
    return Row(id=identifier, quantity=quantity, value=_solved(trials), unit="% solved", n=len(trials), note=note)


def measured_rows(folder: Path) -> list[Row]:
    """Measured intensities: largest distance from the published structure."""
    return [_measured_row(outcome) for outcome in _sorted(measured_outcomes(folder))]


def _sorted(outcomes: Iterable[Outcome]) -> list[Outcome]:
    return sorted(outcomes, key=lambda o: not o.solution.verdict.startswith("solved"))


def _measured_row(outcome: Outcome) -> Row:
    c, case = outcome.comparison, outcome.case
    complete = c is not None and not c.missing and not c.spurious and c.same_space_group
    value = None if c is None else c.max_distance_angstrom
    near = value is not None and value <= LIMIT_ANGSTROM
    claimed = outcome.solution.verdict.startswith("solved")
    kept = f"{100 * outcome.completeness:.0f} % of the sphere to {case.d_min_angstrom} Å"
    return Row(
        id=f"measured-{case.name}", quantity=f"{case.name}: largest distance from the published structure",
        value=value, unit="Å", goal=f"solved, <= {LIMIT_ANGSTROM}, right group, all atoms and elements",
        met=bool(complete and near and claimed), n=outcome.reflections,
        note=f"{outcome.solution.verdict}; {kept}; {outcome.cpu_s:.1f} s",
    )  # fmt: skip
