"""Rows from the records of many mountings, and one table with a line for each row of the study."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from validation.mountings.figures import KINDS, pulls, values
from validation.mountings.jobs import NULL, RANDOM, SERIAL
from validation.mountings.record import Record, code_digests
from validation.mountings.refined import nearer, pair_rows, refined_rows
from validation.mountings.solved import MEDIAN_OF_STILLS, claimed, data_rows, goal_rows, right, whole
from validation.mountings.special import special_rows
from validation.mountings.study import NOTHING, STUDY
from validation.rows import Row


def scenarios_of(records: Sequence[Record]) -> dict[str, list[Record]]:
    """The records by scenario, without the special cases."""
    names = dict.fromkeys(r.scenario for r in records if r.scenario not in (NULL, RANDOM))
    return {name: [r for r in records if r.scenario == name] for name in names}


def mounting_rows(records: Sequence[Record]) -> list[Row]:
    """All rows that the records give; none without records."""
    groups = scenarios_of(records)
    plain = [r for group in groups.values() for r in group]
    rows = goal_rows("all", plain) if plain else []
    rows += [row for name, group in groups.items() for row in (*goal_rows(name, group), *data_rows(name, group))]
    rows += pair_rows(plain)
    rows += [row for name, group in groups.items() for row in refined_rows(name, group)]
    return rows + special_rows(records)


def solution_table(records: Sequence[Record]) -> str:
    """One line for each scenario: what reduction and solution came to."""
    head = ("row", "n", "right group / %", "all atoms / %", "'solved' / %", "solved though wrong",
            "largest deviation before refinement / Å, median", "worst", "R(int) / % (study)",
            "orientations, rms / °")  # fmt: skip
    lines = []
    for name, group in scenarios_of(records).items():
        before = values([r for r in group if right(r)], "solution", "max_distance_angstrom")
        r_int = STUDY.get(name, NOTHING).r_int
        lines.append((
            name, str(len(group)), *(_percent([test(r) for r in group]) for test in (right, whole, claimed)),
            str(sum(claimed(r) and not whole(r) for r in group)), _median(before, 4),
            "–" if not before else f"{max(before):.4f}",
            _beside(_median(values(group, "data", "r_int_percent"), 1), None if r_int != r_int else r_int),
            _median(values(group, "orientation", "rms_error_deg"), 3) if name != SERIAL
            else f"median {_median(values(group, *MEDIAN_OF_STILLS), 3)}",
        ))  # fmt: skip
    return _markdown(head, lines)


def refinement_table(records: Sequence[Record]) -> str:
    """One line for each scenario that was refined: medians, and the study's values in brackets."""
    head = ("row", "n", "R averaged / %", "R non-averaged / %", "R frame-based / %", "R dynamical / %",
            "mean deviation kinematical / Å", "dynamical / Å", "largest deviation kinematical / Å", "dynamical / Å",
            "dynamical nearer / %", "pulls² kinematical", "pulls² dynamical")  # fmt: skip
    lines = []
    for name, group in scenarios_of(records).items():
        ready = [r for r in group if r.finished]
        if not ready:
            continue
        study = STUDY.get(name, NOTHING)
        cells = [name, str(len(ready))]
        for i, keys in enumerate(KINDS.values()):
            cells.append(_beside(_median(values(ready, *keys, "r_obs_percent"), 2), study.r[i]))
        for key, peer in (("mean_distance_angstrom", study.mean), ("max_distance_angstrom", study.largest)):
            for k, kind in enumerate(("averaged", "dynamical")):
                cells.append(_beside(_median(values(ready, *KINDS[kind], key), 4), peer[k]))
        cells.append(_percent([nearer(r) for r in ready]))
        for kind in ("averaged", "dynamical"):
            found = pulls(ready, *KINDS[kind], "pulls")
            cells.append(f"{np.mean(np.square(found)):.2f}" if found else "–")
        lines.append(tuple(cells))
    return _markdown(head, lines) if lines else "No run has been refined yet.\n"


def state_table(records: Sequence[Record]) -> str:
    """How many states of the code each part of the records comes from, and how many are of the present one."""
    now = code_digests()
    lines = []
    for part, current in now.items():
        states = [r.code[part] for r in records if part in r.code]
        if states:
            own = sum(state == current for state in states)
            lines.append((part, str(len(states)), ", ".join(sorted(set(states))), str(own)))
    return _markdown(("part", "records", "digests of the code", "of the code as it is now"), lines)


def _percent(held: Sequence[bool]) -> str:
    return f"{100 * np.mean(held):.0f}"


def _median(found: Sequence[float], decimals: int) -> str:
    return f"{np.median(found):.{decimals}f}" if found else "–"


def _beside(text: str, peer: float | None) -> str:
    return text if peer is None else f"{text} ({peer:g})"


def _markdown(head: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    rows = [head, ["---"] * len(head), *lines]
    return "\n".join("| " + " | ".join(row) + " |" for row in rows) + "\n"
