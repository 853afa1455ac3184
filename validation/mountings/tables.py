"""Rows from the records of many mountings, beside the study's figures (ACS Nano 2025, 19, 20599)."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np

from validation.mountings.record import Record
from validation.mountings.run import NULL, RANDOM
from validation.rows import Row, at_least, at_most

KINDS = {
    "averaged": ("kinematical", "averaged"),
    "non-averaged": ("kinematical", "non_averaged"),
    "frame-based": ("kinematical", "frame_based"),
    "dynamical": ("dynamical",),
}
# the study's R(obs), %: averaged, non-averaged, frame-based, dynamical (Tables 1 to 4)
STUDY_R: dict[str, tuple[float | None, ...]] = {
    "ito-01": (7.9, 10.1, 8.5, 6.4),
    "ito-02": (6.1, 8.3, 7.3, 4.7),
    "anatase": (10.92, None, None, 3.59),
    "brookite-cnrs-01": (17.03, None, None, 6.63),
    "brookite-cnrs-02": (18.52, None, None, 7.68),
    "mgti2o5": (10.74, None, None, 6.86),
}
STUDY_R_INT = {"ito-01": 13.8, "anatase": 22.7}
STUDY_MEAN = {"brookite-cnrs-01": (0.0108, 0.0079), "brookite-cnrs-02": (0.0132, 0.0079)}
_STUDY_RANDOM = {"kinematical": 10.92 - 10.74, "dynamical": 7.74 - 6.86}


def mounting_rows(records: Sequence[Record]) -> list[Row]:
    """All rows that the records give; none without records."""
    rows: list[Row] = []
    for name in dict.fromkeys(r.scenario for r in records if r.scenario not in (NULL, RANDOM)):
        mine = [r for r in records if r.scenario == name]
        rows += data_rows(name, mine) + structure_rows(name, mine)
    ready = [r for r in records if r.finished and r.scenario not in (NULL, RANDOM)]
    return rows + pair_rows(ready) + special_rows(records)


def data_rows(name: str, records: Sequence[Record]) -> list[Row]:
    """Reduction and solution of one scenario, over every run that was begun."""
    n = len(records)
    reduced = [r for r in records if r.get("data", "r_int_percent") is not None]
    found = [r for r in records if r.get("solution", "space_group_correct")]
    far = _values(found, "solution", "max_distance_angstrom")
    goal, met = at_least(100.0 * len(found) / n, 95.0)
    lost = "; ".join(f"{r.seed}: {r.complaint}" for r in records if r.complaint)
    rows = [
        Row(
            id=f"mount-{name}-group",
            quantity=f"{name}: mountings solved in the right group",
            value=100.0 * len(found) / n,
            unit="%",
            goal=goal,
            met=met,
            n=n,
            note=lost[:300],
        )
    ]
    if far:
        goal, met = at_most(max(far), 0.1)
        rows.append(
            Row(
                id=f"mount-{name}-before",
                quantity=f"{name}: largest deviation before refinement, worst mounting",
                value=max(far),
                unit="Å",
                goal=goal.replace("<=", "<"),
                met=met,
                n=len(far),
            )
        )
    shown = (
        ("R(int)", ("data", "r_int_percent"), "%", STUDY_R_INT.get(name), None),
        ("completeness", ("data", "completeness_percent"), "%", None, None),
        ("redundancy", ("data", "redundancy"), "", None, None),
        ("orientation of frames, rms", ("orientation", "rms_error_deg"), "°", None, 0.05),
    )
    for title, keys, unit, peer, limit in shown:
        values = _values(reduced, *keys)
        if values:
            wanted = _below(values, limit)
            rows.append(_median(f"mount-{name}-{keys[-1]}", f"{name}: {title}", values, unit, peer, *wanted))
    return rows


def structure_rows(name: str, records: Sequence[Record]) -> list[Row]:
    """R(obs), deviations and pulls of the four refinements of one scenario."""
    ready = [r for r in records if r.finished]
    rows = []
    for i, (kind, keys) in enumerate(KINDS.items()):
        values = _values(ready, *keys, "r_obs_percent")
        if values:
            peer = STUDY_R.get(name, (None,) * 4)[i]
            rows.append(_median(f"mount-{name}-r-{kind}", f"{name}: R(obs), {kind}", values, "%", peer))
    for kind, keys, limit in (("averaged", KINDS["averaged"], None), ("dynamical", KINDS["dynamical"], 0.015)):
        values = _values(ready, *keys, "mean_distance_angstrom")
        if values:
            peer = STUDY_MEAN.get(name, (None, None))[kind == "dynamical"]
            title = f"{name}: mean deviation from the truth, {kind}"
            rows.append(_median(f"mount-{name}-mean-{kind}", title, values, "Å", peer, *_below(values, limit)))
    for kind in ("averaged", "dynamical"):
        pulls = _pulls(ready, *KINDS[kind], "pulls")
        if pulls:
            value = float(np.mean(np.square(pulls)))
            inside = 0.5 <= value <= 2.0
            rows.append(
                Row(
                    id=f"mount-{name}-pulls-{kind}",
                    quantity=f"{name}: mean square of the pulls of coordinates, {kind}",
                    value=value,
                    unit="",
                    goal="0.5 to 2" if kind == "dynamical" else "",
                    met=inside if kind == "dynamical" else None,
                    n=len(pulls),
                    note=f"largest {max(map(abs, pulls)):.1f} s.u.",
                )
            )
    thickness = _values(ready, "dynamical", "thickness_nm")
    if thickness:
        rows.append(_median(f"mount-{name}-thickness", f"{name}: refined thickness", thickness, "nm"))
    return rows


def pair_rows(ready: Sequence[Record]) -> list[Row]:
    """Comparisons of refinements of the same run, over all scenarios."""
    rows = []
    if ready:
        better = [_mean(r, "dynamical") < _mean(r, "averaged") for r in ready]
        title = "dynamical nearer to the truth than kinematical (averaged), of all pairs"
        rows.append(_share("mount-pairs", title, better, 90.0))
        order = [r for r in ready if r.scenario.startswith("ito")]
        steps = [[_r(r, kind) for kind in ("non-averaged", "frame-based", "averaged", "dynamical")] for r in order]
        if steps:
            title = "ITO: R(obs) non-averaged > frame-based > averaged > dynamical (Table 3), of all runs"
            falls = [all(a > b for a, b in pairwise(s)) for s in steps]
            last = [s[3] < min(s[:3]) for s in steps]
            note = f"dynamical least in {100 * np.mean(last):.0f} %, averaged below frame-based in "
            note += f"{100 * np.mean([s[1] > s[2] for s in steps]):.0f} %, non-averaged above frame-based in "
            note += f"{100 * np.mean([s[0] > s[1] for s in steps]):.0f} %"
            rows.append(_share("mount-order", title, falls, 80.0, note))
            gaps = [s[1] - s[3] for s in steps]
            inside = bool(1.0 <= np.median(gaps) <= 5.0)
            title = "ITO: R(obs) frame-based minus dynamical"
            rows.append(_median("mount-gap", title, gaps, "points", 2.1, "1 to 5", inside))
    ratios = [_r(r, "averaged") / _r(r, "dynamical") for r in ready if r.scenario.startswith("brookite")]
    if ratios:
        inside = bool(1.5 <= np.median(ratios) <= 5.0)
        title = "brookite: R(obs) kinematical over dynamical"
        rows.append(_median("mount-ratio", title, ratios, "", 17.03 / 6.63, "1.5 to 5", inside))
    return rows


def special_rows(records: Sequence[Record]) -> list[Row]:
    """Occupancies of MgTi2O5, the random model, and the null."""
    rows = []
    mixed = [r for r in records if r.scenario == "mgti2o5" and r.finished]
    pulls = _pulls(mixed, "dynamical", "occupancy_pulls")
    if pulls:
        title = "MgTi2O5: occupancies within 3 s.u. of the truth, dynamical"
        worst = f"mean square of pulls {np.mean(np.square(pulls)):.2f}"
        rows.append(_share("mount-occupancies", title, [abs(p) <= 3.0 for p in pulls], 95.0, worst))
        smaller = [
            float(d["uncertainty"]) / float(k["uncertainty"])
            for r in mixed
            for d, k in zip(_parameters(r, "dynamical"), _parameters(r, "averaged"), strict=False)
        ]
        title = "MgTi2O5: s.u. of an occupancy, dynamical over kinematical"
        rows.append(
            _median("mount-occupancy-su", title, smaller, "", 0.008 / 0.02, "< 1", bool(np.median(smaller) < 1.0))
        )
    random = {r.seed: r for r in records if r.scenario == RANDOM and r.finished}
    both = [(random[r.seed], r) for r in mixed if r.seed in random]
    if both:
        drops = np.array([[_r(a, k) - _r(b, k) for k in ("averaged", "dynamical")] for a, b in both])
        ratio = float(np.median(drops[:, 1])) / max(float(np.median(drops[:, 0])), 1e-3)
        goal, met = at_least(ratio, 2.0)
        rows.append(
            Row(
                id="mount-random",
                quantity="MgTi2O5: R(obs) lost by a random distribution, dynamical over kinematical",
                value=ratio,
                unit="",
                peer="study",
                peer_value=_STUDY_RANDOM["dynamical"] / _STUDY_RANDOM["kinematical"],
                goal=goal,
                met=met,
                n=len(both),
                note=f"{np.median(drops[:, 1]):.2f} against {np.median(drops[:, 0]):.2f} points",
            )
        )
    for r in records:
        if r.scenario == NULL and r.finished:
            gap = _r(r, "frame-based") - _r(r, "dynamical")
            rows.append(
                Row(
                    id=f"mount-null-{r.seed}",
                    quantity="null: gain by multiple scattering on frames without any",
                    value=gap,
                    unit="points",
                    goal="-0.5 to 0.5",
                    met=abs(gap) <= 0.5,
                    n=1,
                    note=f"R(obs) {_r(r, 'frame-based'):.2f} and {_r(r, 'dynamical'):.2f} %",
                )
            )
    return rows


def _parameters(record: Record, kind: str) -> list[dict[str, float]]:
    """Refined occupancies with their s.u.s in the order of the labels."""
    found = record.get(*KINDS[kind], "occupancy_pulls", "parameters") or {}
    return [found[label] for label in sorted(found)]


def _r(record: Record, kind: str) -> float:
    value = record.get(*KINDS[kind], "r_obs_percent")
    return float("nan") if value is None else float(value)


def _mean(record: Record, kind: str) -> float:
    value = record.get(*KINDS[kind], "mean_distance_angstrom")
    return float("nan") if value is None else float(value)


def _values(records: Sequence[Record], *keys: str) -> list[float]:
    found = [r.get(*keys) for r in records]
    return [float(v) for v in found if v is not None]


def _pulls(records: Sequence[Record], *keys: str) -> list[float]:
    blocks = [r.get(*keys, "parameters") or {} for r in records]
    return [float(p["deviation"]) / float(p["uncertainty"]) for block in blocks for p in block.values()]


def _below(values: Sequence[float], limit: float | None) -> tuple[str, bool | None]:
    """Goal for a median, and whether it is met."""
    return ("", None) if limit is None else at_most(float(np.median(values)), limit)


def _median(
    id: str,
    quantity: str,
    values: Sequence[float],
    unit: str,
    peer: float | None = None,
    goal: str = "",
    met: bool | None = None,
) -> Row:
    note = f"{min(values):.4g} to {max(values):.4g}" if len(values) > 1 else ""
    return Row(
        id=id,
        quantity=f"{quantity}, median",
        value=float(np.median(values)),
        unit=unit,
        peer="" if peer is None else "study",
        peer_value=peer,
        goal=goal,
        met=met,
        n=len(values),
        note=note,
    )


def _share(id: str, quantity: str, held: Sequence[bool], percent: float, note: str = "") -> Row:
    value = 100.0 * float(np.mean(held))
    goal, met = at_least(value, percent)
    return Row(id=id, quantity=quantity, value=value, unit="%", goal=goal, met=met, n=len(held), note=note)


