"""Rows on occupancies, on a random distribution of the cations, and on the null."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from validation.mountings.figures import KINDS, median_row, of_kind, pulls, share_row
from validation.mountings.jobs import NULL, RANDOM
from validation.mountings.record import Record
from validation.mountings.study import OCCUPANCY_SU_RATIO, RANDOM_DROPS
from validation.rows import Row

WITHIN_PERCENT, DROP_RATIO, NULL_POINTS = 95.0, 2.0, 0.5
BEYOND = 2.0  # standard errors that a mean must lie beyond zero to count as there


def special_rows(records: Sequence[Record]) -> list[Row]:
    """Occupancies of MgTi2O5, the random model, and the null."""
    mixed = [r for r in records if r.scenario == "mgti2o5" and r.finished]
    random = {r.seed: r for r in records if r.scenario == RANDOM and r.finished}
    both = [(random[r.seed], r) for r in mixed if r.seed in random]
    rows = _occupancy_rows(mixed) if mixed else []
    if both:
        kinds = ("averaged", "dynamical")
        r = np.array([[[of_kind(x, k, "r_obs_percent") for k in kinds] for x in pair] for pair in both])
        rows += random_rows(r[:, 0] - r[:, 1], relative=np.median(r[:, 0] / r[:, 1], axis=0))
    return rows + [_null_row(r) for r in records if r.scenario == NULL and r.finished]


def _occupancy_rows(mixed: Sequence[Record]) -> list[Row]:
    rows = []
    for kind in ("averaged", "dynamical"):
        found = np.abs(pulls(mixed, *KINDS[kind], "occupancy_pulls"))
        if len(found):
            title = f"MgTi2O5: occupancies within 3 s.u. of the truth, {kind}"
            note = f"mean square of pulls {np.mean(found**2):.2f}, largest {found.max():.1f}"
            least = WITHIN_PERCENT if kind == "dynamical" else None
            rows.append(share_row(f"mount-occupancies-{kind}", title, list(found <= 3.0), least=least, note=note))
    ratios = [ratio for r in mixed for ratio in _su_ratios(r)]
    if ratios:
        title = "MgTi2O5: s.u. of an occupancy, dynamical over kinematical"
        row = median_row("mount-occupancy-su", title, ratios, "", peer=OCCUPANCY_SU_RATIO, most=1.0)
        rows.append(row)
    return rows


def _su_ratios(record: Record) -> list[float]:
    """Of each occupancy that both refinements have."""
    one = record.get(*KINDS["averaged"], "occupancy_pulls", "parameters") or {}
    two = record.get(*KINDS["dynamical"], "occupancy_pulls", "parameters") or {}
    return [float(two[label]["uncertainty"]) / float(one[label]["uncertainty"]) for label in one if label in two]


def random_rows(lost: NDArray[np.float64], *, relative: NDArray[np.float64]) -> list[Row]:
    """lost (runs, 2): R(obs) lost by a random distribution in points, kinematical and dynamical; relative (2,): the
    median factor by which R(obs) rises.

    The ratio of the two is only given where the kinematical loss is there at all: its mean more than two standard
    errors above zero. The goal is judged without it: the dynamical loss is more than twice the kinematical one, also
    when that is two standard errors larger than found, and no less than zero.
    """
    n = len(lost)
    mean = lost.mean(axis=0)
    error = lost.std(axis=0, ddof=1) / np.sqrt(n) if n > 1 else np.full(2, np.inf)
    names = ("kinematical, averaged", "dynamical")
    rows = [
        Row(id=f"mount-random-{('kinematical', 'dynamical')[k]}",
            quantity=f"MgTi2O5: R(obs) lost by a random distribution, {names[k]}, mean", value=float(mean[k]),
            unit="points", peer="study", peer_value=RANDOM_DROPS[k], n=n,
            note=f"standard error {error[k]:.3f}" if n > 1 else "one mounting")
        for k in range(2)
    ]  # fmt: skip
    there = bool(mean[0] > (BEYOND * error[0] if n > 1 else 0.0))
    upper = max(float(mean[0]) + (BEYOND * float(error[0]) if n > 1 else 0.0), 0.0)
    rows.append(
        Row(
            id="mount-random", quantity="MgTi2O5: loss dynamical over kinematical", unit="",
            value=float(mean[1] / mean[0]) if there else None, peer="study",
            peer_value=RANDOM_DROPS[1] / RANDOM_DROPS[0], goal=f">= {DROP_RATIO:g}",
            met=bool(mean[1] > 0 and mean[1] >= DROP_RATIO * upper), n=n,
            note=f"difference {mean[1] - mean[0]:.3f} points; R(obs) rises by the factors {relative[1]:.2f} dynamical, "
            f"{relative[0]:.2f} kinematical"
            + ("" if there else "; no ratio: the kinematical loss is not significant"),
        )
    )  # fmt: skip
    return rows


def _null_row(record: Record) -> Row:
    r = [of_kind(record, kind, "r_obs_percent") for kind in ("frame-based", "dynamical")]
    gap = r[0] - r[1]
    return Row(
        id=f"mount-null-{record.seed}", quantity="null: gain by multiple scattering on frames without any", value=gap,
        unit="points", goal=f"-{NULL_POINTS:g} to {NULL_POINTS:g}", met=abs(gap) <= NULL_POINTS, n=1,
        note=f"R(obs) {r[0]:.2f} and {r[1]:.2f} %",
    )  # fmt: skip
