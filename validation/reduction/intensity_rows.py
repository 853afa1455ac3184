"""Integrated intensities beside the truth: ours, and DIALS' sums and profile fits."""

from __future__ import annotations

from typing import Any

import numpy as np

from pipeline.reduction.assemble import ReducedSeries
from pipeline.reduction.merge import unmerged
from pipeline.reduction.observations import unique_hkl
from validation.reduction.dials import DialsResult, dials_frame_ub
from validation.reduction.frames import Known
from validation.reduction.measure import IntensityErrors, conventional, intensity_errors
from validation.reduction.row import NAN, goal_of, goal_within, set_row
from validation.rows import Row

FIGURES = (
    ("cc", "CC of integrated counts with the truth", ""),
    ("cc_limit", "the same from photon noise alone", ""),
    ("r_percent", "R on |F|, I > 3σ", "%"),
    ("limit_percent", "the same from photon noise alone", "%"),
    ("spread", "pulls: standard deviation", "σ"),
    ("mean", "pulls: mean", "σ"),
    ("bias", "pulls: median", "σ"),
    ("largest", "pulls: largest", "σ"),
)
R_OVER_LIMIT, LEAST_CC, LARGEST_BIAS = 1.1, 0.9999, 0.05
NOTHING = IntensityErrors(
    cc=NAN, cc_limit=NAN, r_percent=NAN, limit_percent=NAN, bias=NAN, mean=NAN, spread=NAN, largest=NAN, number=0
)


def our_intensities(known: Known, reduced: ReducedSeries, *, per_f2: bool) -> IntensityErrors:
    """On the scale of F², or as counts over all frames: F² times what frames and rocking curve make of a unit."""
    matched = conventional(reduced.orientation.ub, known.ub)
    if matched is None:
        return NOTHING
    r = reduced.reflections
    loose = unmerged(r)
    intensity, sigma = loose.intensity, loose.sigma
    if not per_f2:
        assert r.partiality is not None
        unique, group = unique_hkl(r.hkl)
        total = np.bincount(group, weights=r.partiality * r.frame_scale[r.frame])
        table = dict(zip(map(tuple, unique.tolist()), total, strict=True))
        unit = np.array([table[h] for h in map(tuple, loose.hkl.tolist())])
        intensity, sigma = intensity * unit, sigma * unit
    hkl = loose.hkl @ matched[1].T
    return intensity_errors(known=known, hkl=hkl, intensity=intensity, sigma=sigma, per_f2=per_f2)


def _dials_intensities(known: Known, result: DialsResult, kind: str) -> IntensityErrors | None:
    a = result.arrays
    if kind not in a or "a" not in a:
        return None
    middle = len(a["a"]) // 2
    matched = conventional(dials_frame_ub(a)[middle], known.rotation[a["frame"][middle]] @ known.ub)
    if matched is None:
        return None
    ok = np.asarray(a[f"{kind}_ok"], dtype=bool)
    hkl = np.asarray(a["hkl"])[ok] @ matched[1].T
    return intensity_errors(
        known=known, hkl=hkl, intensity=a[kind][ok], sigma=np.sqrt(a[f"{kind}_variance"][ok]), per_f2=False
    )


def _goals(name: str, ours: IntensityErrors) -> dict[str, dict[str, Any]]:
    if name == "weak":
        return {}
    low, high = -LARGEST_BIAS, LARGEST_BIAS
    return {
        "cc": goal_of(ours.cc, LEAST_CC if name == "ideal" else None, high=True),
        "r_percent": goal_of(ours.r_percent, R_OVER_LIMIT * ours.limit_percent),
        "spread": goal_within(ours.spread, 0.95, 1.05, "0.95 to 1.05"),
        "mean": goal_within(ours.mean, low, high, f"within ± {high:g}"),
        "bias": goal_within(ours.bias, low, high, f"within ± {high:g}"),
    }


def intensity_rows(name: str, known: Known, reduced: ReducedSeries | None, theirs: DialsResult | None) -> list[Row]:
    """Of one set; empty cells and goals missed where there is no reduction or another lattice."""
    ours = NOTHING if reduced is None else our_intensities(known, reduced, per_f2=False)
    goals = _goals(name, ours)
    peers = {
        label: None if theirs is None else _dials_intensities(known, theirs, kind)
        for kind, label in (("sum", "summation"), ("prf", "profile"))
    }
    rows = []
    for key, quantity, unit in FIGURES:
        found = float(getattr(ours, key))
        shown: list[tuple[str, IntensityErrors | None]] = [pair for pair in peers.items() if pair[1] is not None]
        shown = shown or [("", None)]
        for place, (label, peer) in enumerate(shown):
            value = None if peer is None else float(getattr(peer, key))
            note = f"DIALS: {label}" if label else ""
            if key.startswith("cc"):
                note = "; ".join(p for p in (note, _digits(found, value)) if p)
            more = {"n": ours.number, "note": note} | (goals.get(key, {}) if place == 0 else {})
            rows.append(set_row(name, f"{key}-{label or 'alone'}", quantity, unit, found, value, **more))
    return rows + _scaled_rows(name, known, reduced)


def _digits(ours: float, theirs: float | None) -> str:
    return f"to six digits {ours:.6f}" + ("" if theirs is None else f" and {theirs:.6f}")


def _scaled_rows(name: str, known: Known, reduced: ReducedSeries | None) -> list[Row]:
    if reduced is None:
        return []
    scaled = our_intensities(known, reduced, per_f2=True)
    note = "Lorentz factor taken out: reflections far from the axis have fewer counts"
    table = (("cc", "CC of intensities on the scale of F²"), ("cc_limit", FIGURES[1][1]))
    return [
        set_row(name, f"{key}-f2", quantity, "", float(getattr(scaled, key)), None, n=scaled.number, note=note)
        for key, quantity in table
    ]
