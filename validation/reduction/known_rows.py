"""Rows of the series with a known truth: ours beside those of DIALS on the same frames."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.reduction.assemble import ReducedSeries
from pipeline.reduction.errors import ReductionError
from pipeline.reduction.merge import unmerged
from pipeline.reduction.reduce import reduce_series
from twin.physics.lattice import rotation_matrix
from validation.reduction.dials import DialsResult, available, run_dials
from validation.reduction.frames import IDEAL, Conditions, Known, make_known
from validation.reduction.measure import IntensityErrors, LatticeErrors, intensity_errors, lattice_errors
from validation.rows import Row, at_least, at_most

Floats = NDArray[np.float64]
NAN = float("nan")
FIGURES = (
    ("cc", "CC of integrated counts with the truth", ""),
    ("cc_limit", "the same from photon noise alone", ""),
    ("r_percent", "R on |F|, I > 3σ", "%"),
    ("limit_percent", "the same from photon noise alone", "%"),
    ("spread", "pulls: standard deviation", "σ"),
    ("mean", "pulls: mean", "σ"),
    ("bias", "pulls: median", "σ"),
)
GOALS = {
    "ideal": {"cell": 0.002, "orientation": 0.002},
    "hard": {"cell": 0.01, "orientation": 0.02, "azimuth": 0.02},
}


def warm_up() -> None:
    """Compile what is compiled at first use, so that the timing of a series is that of its frames."""
    short = make_known(replace(IDEAL, frames=60, seed=3))
    try:
        reduce_series(dataset=short.dataset)
    except ReductionError:
        return


def known_rows(conditions: Conditions, folder: Path) -> list[Row]:
    """One series made, reduced by us and by DIALS."""
    known, name = make_known(conditions), conditions.name
    begin = time.process_time()
    reduced: ReducedSeries | None = None
    gave_up = ""
    try:
        reduced = reduce_series(dataset=known.dataset)
    except ReductionError as error:
        gave_up = str(error)
    spent = time.process_time() - begin
    theirs = run_dials(known.dataset, folder) if available() else None
    rows = _lattice_rows(name, known, reduced, theirs, gave_up, spent)
    if reduced is not None and conditions.jitter_deg > 0:
        rows += _jitter_rows(conditions, known, reduced)
    return rows + _intensity_rows(name, known, reduced, theirs)


def _row(set_name: str, key: str, quantity: str, unit: str, ours: float, theirs: float | None, **more: Any) -> Row:
    return Row(
        id=f"{set_name}-{key}",
        quantity=f"{set_name}: {quantity}",
        value=None if np.isnan(ours) else ours,
        unit=unit,
        peer="" if theirs is None else "DIALS",
        peer_value=None if theirs is None or np.isnan(theirs) else theirs,
        **more,
    )


def _goal(value: float, limit: float | None, *, high: bool = False) -> dict[str, Any]:
    if limit is None:
        return {}
    text, met = at_least(value, limit) if high else at_most(value, limit)
    return {"goal": text, "met": met}


def _dials_frame_ub(arrays: Mapping[str, NDArray[Any]]) -> Floats:
    """ub in the laboratory in the middle of each frame, (frames, 3, 3)."""
    turns = [rotation_matrix(axis=arrays["axis"], angle_deg=float(angle)) for angle in arrays["alpha_deg"]]
    ours = np.diag([-1.0, 1.0, -1.0])  # DIALS turns McStas axes by 180° about y
    return np.asarray(ours @ arrays["setting"] @ np.array(turns) @ arrays["fixed"] @ arrays["a"], dtype=np.float64)


def _dials_lattice(known: Known, result: DialsResult) -> LatticeErrors:
    if "a" not in result.arrays:
        return LatticeErrors(cell_percent=NAN, orientation_deg=NAN)
    a = result.arrays
    return lattice_errors(known=known, frame_ub=_dials_frame_ub(a), frame=np.asarray(a["frame"], dtype=np.int64))


def _lattice_rows(
    name: str, known: Known, reduced: ReducedSeries | None, theirs: DialsResult | None, gave_up: str, spent: float
) -> list[Row]:
    goals = GOALS.get(name, {})
    lattice, azimuth, fraction = LatticeErrors(cell_percent=NAN, orientation_deg=NAN), NAN, 0.0
    if reduced is not None:
        o = reduced.orientation
        lattice = lattice_errors(known=known, frame_ub=o.rotation @ o.ub)
        wanted = known.actual.projection.tilt_axis_deg
        azimuth = abs((o.microscope.projection.tilt_axis_deg - wanted + 180.0) % 360.0 - 180.0)
        fraction = 100.0 * o.indexed_peaks_fraction
    peer = _dials_lattice(known, theirs) if theirs is not None else None
    cell, turn = (None, None) if peer is None else (peer.cell_percent, peer.orientation_deg)
    said = gave_up or ("" if theirs is None or not theirs.failed else f"DIALS: {theirs.failed}")
    frames = len(known.dataset.counts)
    speed = frames / spent
    peer_speed = None if theirs is None or theirs.failed else frames / theirs.cpu_s
    ten = None if peer_speed is None else 10.0 * peer_speed
    enough = _goal(fraction, 90.0 if name == "weak" else None, high=True)
    ours, angle = lattice.cell_percent, lattice.orientation_deg
    return [
        _row(name, "cell", "error of a cell length", "%", ours, cell, note=said, **_goal(ours, goals.get("cell"))),
        _row(
            name, "turn", "orientation of a frame, median", "°", angle, turn, **_goal(angle, goals.get("orientation"))
        ),
        _row(name, "azimuth", "tilt-axis azimuth", "°", azimuth, None, **_goal(azimuth, goals.get("azimuth"))),
        _row(name, "indexed", "spots indexed", "%", fraction, None, **enough),
        _row(name, "speed", "frames per CPU second", "1/s", speed, peer_speed, **_goal(speed, ten, high=True)),
    ]


def _jitter_rows(conditions: Conditions, known: Known, reduced: ReducedSeries) -> list[Row]:
    """How much of a frame's error the fit itself expects, and the jitter that it estimated."""
    sd, looseness = reduced.fit.turn_sd_deg, reduced.fit.looseness
    draw = np.linalg.norm(sd * np.random.default_rng(1).normal(size=sd.shape), axis=1)
    note = "from the uncertainties of the fit: photon noise with the positions and intensities used"
    name, true = conditions.name, conditions.jitter_deg
    return [
        _row(name, "turn-sd", "the same as the fit expects it", "°", float(np.median(draw)), None, note=note),
        _row(name, "jitter-tilt", f"jitter of tilts (truth {true:g})", "°", looseness.tilt_deg, None, n=len(sd)),
        _row(name, "jitter-spin", f"jitter about the beam (truth {true:g})", "°", looseness.spin_deg, None, n=len(sd)),
    ]


def _our_intensities(known: Known, reduced: ReducedSeries, *, per_f2: bool) -> IntensityErrors:
    """On the scale of F², or as counts over all frames: F² times what frames and rocking curve make of a unit."""
    r = reduced.reflections
    loose = unmerged(r)
    intensity, sigma = loose.intensity, loose.sigma
    if not per_f2:
        assert r.partiality is not None
        unique, group = np.unique(r.hkl, axis=0, return_inverse=True)
        total = np.bincount(np.asarray(group).reshape(-1), weights=r.partiality * r.frame_scale[r.frame])
        table = dict(zip(map(tuple, unique.tolist()), total, strict=True))
        unit = np.array([table[h] for h in map(tuple, loose.hkl.tolist())])
        intensity, sigma = intensity * unit, sigma * unit
    n = np.rint(np.linalg.solve(known.ub, reduced.orientation.ub)).astype(np.int64)
    return intensity_errors(known=known, hkl=loose.hkl @ n.T, intensity=intensity, sigma=sigma, per_f2=per_f2)


def _dials_intensities(known: Known, result: DialsResult, kind: str) -> IntensityErrors | None:
    a = result.arrays
    if kind not in a or "a" not in a:
        return None
    middle = len(a["a"]) // 2
    n = np.rint(np.linalg.solve(known.rotation[a["frame"][middle]] @ known.ub, _dials_frame_ub(a)[middle])).astype(
        np.int64
    )
    ok = np.asarray(a[f"{kind}_ok"], dtype=bool)
    hkl = np.asarray(a["hkl"])[ok] @ n.T
    return intensity_errors(
        known=known, hkl=hkl, intensity=a[kind][ok], sigma=np.sqrt(a[f"{kind}_variance"][ok]), per_f2=False
    )


def _intensity_rows(name: str, known: Known, reduced: ReducedSeries | None, theirs: DialsResult | None) -> list[Row]:
    if reduced is None or abs(np.linalg.det(np.linalg.solve(known.ub, reduced.orientation.ub))) > 2.5:
        return []
    ours = _our_intensities(known, reduced, per_f2=False)
    weak = name == "weak"
    goals: dict[str, dict[str, Any]] = {
        "cc": _goal(ours.cc, 0.9999 if name == "ideal" else None, high=True),
        "r_percent": _goal(ours.r_percent, None if weak else 1.1 * ours.limit_percent),
        "spread": {} if weak else {"goal": "0.95 to 1.05", "met": 0.95 <= ours.spread <= 1.05},
        "mean": {} if weak else {"goal": "within ± 0.05", "met": abs(ours.mean) <= 0.05},
        "bias": {} if weak else {"goal": "within ± 0.05", "met": abs(ours.bias) <= 0.05},
    }
    peers = {kind: None if theirs is None else _dials_intensities(known, theirs, kind) for kind in ("sum", "prf")}
    rows = []
    for key, quantity, unit in FIGURES:
        found = float(getattr(ours, key))
        for kind, label in (("sum", "summation"), ("prf", "profile")):
            peer = peers[kind]
            value = None if peer is None else float(getattr(peer, key))
            more = goals.get(key, {}) if kind == "sum" else {}
            digits = f"; to six digits {found:.6f}" if key.startswith("cc") else ""
            note = (
                f"DIALS: {label}{digits}" if value is None or not digits else f"DIALS: {label}{digits} and {value:.6f}"
            )
            rows.append(_row(name, f"{key}-{kind}", quantity, unit, found, value, n=ours.number, note=note, **more))
    scaled = _our_intensities(known, reduced, per_f2=True)
    note = "Lorentz factor taken out: reflections far from the axis have fewer counts"
    for key, quantity in (("cc", "CC of intensities on the scale of F²"), ("cc_limit", FIGURES[1][1])):
        rows.append(
            _row(name, f"{key}-f2", quantity, "", float(getattr(scaled, key)), None, n=scaled.number, note=note)
        )
    return rows
