"""Rows on the refinements of one scenario, and on pairs of refinements of the same run."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np

from validation.mountings.figures import KINDS, median_row, of_kind, pulls, share_row, values
from validation.mountings.record import Record
from validation.mountings.study import GAP_POINTS, NOTHING, RATIO_BROOKITE, STUDY
from validation.rows import Row

MEAN_ANGSTROM, NEARER_PERCENT, ORDER_PERCENT = 0.015, 90.0, 80.0
PULLS_BAND, RATIO_BAND, GAP_BAND = (0.5, 2.0), (1.5, 5.0), (1.0, 5.0)
TABLE_3 = ("non-averaged", "frame-based", "averaged", "dynamical")


def nearer(record: Record) -> bool:
    """Whether the dynamical refinement lies nearer to the truth than the averaged kinematical one."""
    key = "mean_distance_angstrom"
    return of_kind(record, "dynamical", key) < of_kind(record, "averaged", key)


def refined_rows(name: str, records: Sequence[Record]) -> list[Row]:
    """R(obs), deviations and pulls of one scenario, of the runs that came to their end."""
    ready = [r for r in records if r.finished]
    if not ready:
        return []
    prefix, study = f"mount-{name}", STUDY.get(name, NOTHING)
    rows = []
    for i, (kind, keys) in enumerate(KINDS.items()):
        found = values(ready, *keys, "r_obs_percent")
        if found:
            rows.append(median_row(f"{prefix}-r-{kind}", f"{name}: R(obs), {kind}", found, "%", peer=study.r[i]))
    for k, kind in enumerate(("averaged", "dynamical")):
        for what, key, peer in (("mean", "mean_distance_angstrom", study.mean),
                                ("largest", "max_distance_angstrom", study.largest)):  # fmt: skip
            found = values(ready, *KINDS[kind], key)
            limit = MEAN_ANGSTROM if what == "mean" and kind == "dynamical" else None
            if found:
                title = f"{name}: {what} deviation from the truth, {kind}"
                rows.append(median_row(f"{prefix}-{what}-{kind}", title, found, "Å", peer=peer[k], most=limit))
    rows.append(share_row(f"{prefix}-nearer", f"{name}: dynamical nearer to the truth than kinematical (averaged)",
                          [nearer(r) for r in ready], least=NEARER_PERCENT))  # fmt: skip
    rows += [_pulls_row(prefix, name, kind, ready) for kind in ("averaged", "dynamical") if _free(ready, kind)]
    thickness = values(ready, "dynamical", "thickness_nm")
    if thickness:
        rows.append(median_row(f"{prefix}-thickness", f"{name}: refined thickness", thickness, "nm"))
    return rows


def _free(ready: Sequence[Record], kind: str) -> list[float]:
    return pulls(ready, *KINDS[kind], "pulls")


def _pulls_row(prefix: str, name: str, kind: str, ready: Sequence[Record]) -> Row:
    found = np.abs(_free(ready, kind))
    value = float(np.mean(found**2))
    judged = kind == "dynamical"
    return Row(
        id=f"{prefix}-pulls-{kind}", quantity=f"{name}: mean square of the pulls of coordinates, {kind}", value=value,
        unit="", goal=f"{PULLS_BAND[0]:g} to {PULLS_BAND[1]:g}" if judged else "",
        met=PULLS_BAND[0] <= value <= PULLS_BAND[1] if judged else None, n=len(found),
        note=f"median square {np.median(found**2):.2f} (0.45 expected), beyond 3 s.u. "
        f"{100 * np.mean(found > 3.0):.0f} %, largest {found.max():.1f}",
    )  # fmt: skip


def pair_rows(records: Sequence[Record]) -> list[Row]:
    """Comparisons of refinements of the same run, over all scenarios."""
    ready = [r for r in records if r.finished]
    if not ready:
        return []
    title = "all: dynamical nearer to the truth than kinematical (averaged)"
    rows = [share_row("mount-pairs", title, [nearer(r) for r in ready], least=NEARER_PERCENT)]
    order = [r for r in ready if r.scenario.startswith("ito")]
    if order:
        rows += _table_3_rows(np.array([[of_kind(r, kind, "r_obs_percent") for kind in TABLE_3] for r in order]))
    brookite = [r for r in ready if r.scenario.startswith("brookite")]
    if brookite:
        ratios = [of_kind(r, "averaged", "r_obs_percent") / of_kind(r, "dynamical", "r_obs_percent") for r in brookite]
        title = "brookite: R(obs) kinematical over dynamical"
        rows.append(median_row("mount-ratio", title, ratios, "", peer=RATIO_BROOKITE, inside=RATIO_BAND))
    return rows


def _table_3_rows(r: np.ndarray) -> list[Row]:
    """r (runs, 4): R(obs) in the order of Table 3."""
    falls = [all(a > b for a, b in pairwise(steps)) for steps in r]
    note = f"dynamical least in {100 * np.mean(r[:, 3] < r[:, :3].min(axis=1)):.0f} %, averaged below frame-based in "
    note += f"{100 * np.mean(r[:, 1] > r[:, 2]):.0f} %, non-averaged above frame-based in "
    note += f"{100 * np.mean(r[:, 0] > r[:, 1]):.0f} %"
    title = "ITO: R(obs) non-averaged > frame-based > averaged > dynamical (Table 3)"
    gaps = list(r[:, 1] - r[:, 3])
    return [
        share_row("mount-order", title, falls, least=ORDER_PERCENT, note=note),
        median_row("mount-gap", "ITO: R(obs) frame-based minus dynamical", gaps, "points", peer=GAP_POINTS,
                   inside=GAP_BAND),
    ]  # fmt: skip
