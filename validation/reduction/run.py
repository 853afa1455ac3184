"""All rows of `edtwin validate reduction`: known truth beside DIALS, and measured series beside what was published."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from pipeline.reduction.assemble import ReducedSeries
from pipeline.reduction.errors import ReductionError
from pipeline.reduction.merge import unmerged
from pipeline.reduction.reduce import reduce_series
from twin.physics.lattice import rotation_matrix
from validation.reduction.dials import DialsResult, available, run_dials
from validation.reduction.frames import HARD, IDEAL, WEAK, Conditions, Known, make_known
from validation.reduction.measure import IntensityErrors, LatticeErrors, intensity_errors, lattice_errors
from validation.reduction.page import write_page
from validation.reduction.real import real_rows
from validation.rows import Row, at_least, at_most, write_rows

Floats = NDArray[np.float64]
NAN = float("nan")
FIGURES = (
    ("cc", "CC of intensities with the truth", ""),
    ("r_percent", "R on |F|, I > 3σ", "%"),
    ("limit_percent", "the same from photon noise alone", "%"),
    ("spread", "pulls: standard deviation", "σ"),
    ("bias", "pulls: median", "σ"),
)
GOALS = {
    "ideal": {"cell": 0.002, "orientation": 0.002},
    "hard": {"cell": 0.01, "orientation": 0.02, "azimuth": 0.02},
}


def _our_intensities(known: Known, reduced: ReducedSeries) -> IntensityErrors:
    loose = unmerged(reduced.reflections)
    n = np.rint(np.linalg.solve(known.ub, reduced.orientation.ub)).astype(np.int64)
    return intensity_errors(known=known, hkl=loose.hkl @ n.T, intensity=loose.intensity, sigma=loose.sigma, per_f2=True)


def _dials_frame_ub(arrays: Mapping[str, NDArray[Any]]) -> Floats:
    """ub in the laboratory in the middle of each frame, (frames, 3, 3)."""
    turns = [rotation_matrix(axis=arrays["axis"], angle_deg=float(angle)) for angle in arrays["alpha_deg"]]
    ours = np.diag([-1.0, 1.0, -1.0])  # DIALS turns McStas axes by 180° about y
    return np.asarray(ours @ arrays["setting"] @ np.array(turns) @ arrays["fixed"] @ arrays["a"], dtype=np.float64)


def _dials_lattice(known: Known, result: DialsResult) -> LatticeErrors:
    if "a" not in result.arrays:
        return LatticeErrors(cell_percent=NAN, orientation_deg=NAN)
    return lattice_errors(known=known, frame_ub=_dials_frame_ub(result.arrays))


def _dials_intensities(known: Known, result: DialsResult, kind: str) -> IntensityErrors | None:
    a = result.arrays
    if kind not in a or "a" not in a:
        return None
    middle = len(a["a"]) // 2
    n = np.rint(np.linalg.solve(known.rotation[middle] @ known.ub, _dials_frame_ub(a)[middle])).astype(np.int64)
    ok = np.asarray(a[f"{kind}_ok"], dtype=bool)
    hkl = np.asarray(a["hkl"])[ok] @ n.T
    return intensity_errors(
        known=known, hkl=hkl, intensity=a[kind][ok], sigma=np.sqrt(a[f"{kind}_variance"][ok]), per_f2=False
    )


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
    return _lattice_rows(name, known, reduced, theirs, gave_up, spent) + _intensity_rows(name, known, reduced, theirs)


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


def _intensity_rows(name: str, known: Known, reduced: ReducedSeries | None, theirs: DialsResult | None) -> list[Row]:
    if reduced is None or abs(np.linalg.det(np.linalg.solve(known.ub, reduced.orientation.ub))) > 2.5:
        return []
    ours = _our_intensities(known, reduced)
    weak = name == "weak"
    goals: dict[str, dict[str, Any]] = {
        "cc": _goal(ours.cc, 0.9999 if name == "ideal" else None, high=True),
        "r_percent": _goal(ours.r_percent, None if weak else 1.1 * ours.limit_percent),
        "spread": {} if weak else {"goal": "0.95 to 1.05", "met": 0.95 <= ours.spread <= 1.05},
        "bias": _goal(abs(ours.bias), None if weak else 0.05),
    }
    rows = []
    for kind, label in (("sum", "summation"), ("prf", "profile")):
        peer = None if theirs is None else _dials_intensities(known, theirs, kind)
        for key, quantity, unit in FIGURES:
            value = None if peer is None else float(getattr(peer, key))
            text = f"{quantity} (DIALS: {label})"
            found = float(getattr(ours, key))
            rows.append(_row(name, f"{key}-{kind}", text, unit, found, value, n=ours.number, **goals.get(key, {})))
    return rows


def run_reduction(*, out: Path, quick: bool, page: Path | None = None) -> list[Row]:
    """Write ``out``/reduction.json (and the page); returns the rows. ``quick``: the ideal series and real data only."""
    rows: list[Row] = []
    with tempfile.TemporaryDirectory() as name, threadpool_limits(1):
        for conditions in (IDEAL,) if quick else (IDEAL, HARD, WEAK):
            rows += known_rows(conditions, Path(name) / conditions.name)
    rows += real_rows()
    write_rows(out / "reduction.json", rows)
    if page is not None:
        write_page(page, rows)
    return rows
