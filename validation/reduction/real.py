"""Measured series: cinchonine from its raw frames beside XDS, glycine from the peaks of PETS2, quartz from the spots of
DIALS. The data stay in ../shared/realdata (or $EDTWIN_REALDATA); without them there are no rows."""

from __future__ import annotations

import json
import subprocess
import tempfile
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from pipeline.io.cif_pets import read_cif_pets, to_laboratory
from pipeline.io.series.nominal import Nominal, RawSeries, build_dataset
from pipeline.io.series.pets_project import parse_project, project_nominal
from pipeline.io.series.read import read_series
from pipeline.reduction.first_lattice import first_geometry, index_series, search_axis
from pipeline.reduction.indexing import points_at_zero_tilt
from pipeline.reduction.lattice import Indexed
from pipeline.reduction.noise import NoiseModel
from pipeline.reduction.reduce import ReducedSeries, reduce_series
from pipeline.reduction.spots import Survey
from pipeline.types import Peaks
from twin.model.dataset import Dataset
from twin.physics.lattice import cell_from_reciprocal_matrix
from twin.physics.symmetry import asymmetric_hkl
from validation.realdata import data_folder
from validation.reduction.dials import PYTHON
from validation.rows import Row

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


def same_lattice(ub: Floats, other: Floats) -> tuple[Ints, float]:
    """N with other ≈ turn · ub · N for the smallest turn, and that turn in degrees. Both primitive, same volume ± 10 %.

    Candidates for N come from rounding; the turn is what the polar decomposition leaves.
    """
    n = np.rint(np.linalg.solve(ub, other)).astype(np.int64)
    if abs(round(float(np.linalg.det(n)))) != 1:
        return n, float("nan")
    u, _, vt = np.linalg.svd(other @ np.linalg.inv(ub @ n))
    return n, float(np.degrees(Rotation.from_matrix(u @ vt).magnitude()))


def _cell_rows(key: str, ub: Floats, wanted: tuple[float, ...], peer: str) -> list[Row]:
    """Ratios and angles of the cell beside the published ones (lengths share a scale that the frames do not tell)."""
    found = cell_from_reciprocal_matrix(ub).parameters
    names = ("a/b", "c/b", "α", "β", "γ")
    ours = (found[0] / found[1], found[2] / found[1], *found[3:])
    theirs = (wanted[0] / wanted[1], wanted[2] / wanted[1], *wanted[3:])
    units = ("", "", "°", "°", "°")
    rows = [
        Row(id=f"{key}-cell-{n}", quantity=f"cell, {n}", value=a, unit=u, peer=peer, peer_value=b)
        for n, a, b, u in zip(names, ours, theirs, units, strict=True)
    ]
    scale = found[1] / wanted[1]
    rows.append(
        Row(
            id=f"{key}-cell-scale",
            quantity="cell, b",
            value=found[1],
            unit="Å",
            peer=peer,
            peer_value=wanted[1],
            note=f"scale {scale:.4f}",
        )
    )
    return rows


def index_peaks(*, dataset: Dataset, peaks: Peaks, centre_px: Floats) -> tuple[Indexed, tuple[str, ...]]:
    """The chain from spots to the refined lattice, for spots that others have found."""
    seen = Survey(
        centre_px=centre_px,
        beam_seen=np.ones(len(centre_px), dtype=bool),
        beam_radius_px=3.0,
        noise=NoiseModel(gain=1.0, psi=0.0, pixels=0),
        peaks=peaks,
    )
    axis, weight, limit = search_axis(dataset, seen)
    start, sentence = first_geometry(dataset, seen, axis, weight, limit)
    g_peaks = float(np.quantile(np.linalg.norm(points_at_zero_tilt(peaks=peaks, geometry=start), axis=1), 0.995))
    found, _, more = index_series(dataset, peaks, start, g_peaks)
    return found, (sentence, *more)


def glycine() -> tuple[Indexed, Floats, tuple[float, ...]]:
    """Indexed peaks of PETS2; its ub in our laboratory and its cell."""
    base = data_folder() / "glycine_pets"
    keys, images = parse_project((base / "glycine.pts").read_text(encoding="latin-1"), source=base / "glycine.pts")
    table = np.loadtxt(base / "glycine.rpl")
    alpha = np.array([a for _, a in images])
    centre = np.loadtxt(base / "glycine.cenloc")[:, :2] - 1.0
    count = min(len(alpha), len(centre))
    frame = np.argmin(np.abs(table[:, 9][:, None] - alpha[None, :count]), axis=1)
    raw = RawSeries(
        counts=np.broadcast_to(np.zeros(1, dtype=np.uint32), (count, 516, 516)),
        found=project_nominal(keys, source=base / "glycine.pts"),
        source=base / "glycine.pts",
        alpha_start_deg=alpha[:count] - 0.178,
        alpha_end_deg=alpha[:count] + 0.178,
    )
    peaks = Peaks(
        frame=frame.astype(np.int64),
        fast_px=table[:, 7] - 1.0,
        slow_px=table[:, 8] - 1.0,
        intensity=table[:, 3] * 10.0,
        sigma=np.full(len(table), 10.0),
    )
    found, _ = index_peaks(dataset=build_dataset(raw=raw, given=Nominal()), peaks=peaks, centre_px=centre[:count])
    pets = read_cif_pets(base / "glycine.cif_pets")
    wanted = tuple(float(v) for v in keys["referencecell"][:6])
    return found, to_laboratory(pets)[0], wanted


def quartz() -> tuple[Indexed, tuple[float, ...]]:
    """Indexed spots of DIALS, and the cell that it refined."""
    base = data_folder() / "quartz_dials"
    script = Path(__file__).parent.parent / "peers" / "dials_spots.py"
    with tempfile.TemporaryDirectory() as name:
        out = Path(name) / "spots.npz"
        subprocess.run([PYTHON, str(script), str(base / "strong.refl"), str(out)], check=True, capture_output=True)
        with np.load(out) as file:
            xyz, intensity, variance = file["xyz"], file["intensity"], file["variance"]
    expt = json.loads((base / "refined.expt").read_text(encoding="utf-8"))
    panel, crystal = expt["detector"][0]["panels"][0], expt["crystal"][0]
    real = np.array([crystal[f"real_space_{k}"] for k in "abc"])
    wanted = cell_from_reciprocal_matrix(np.linalg.inv(real)).parameters
    given = Nominal(
        wavelength_angstrom=0.02508,
        camera_length_mm=-panel["origin"][2],
        pixel_size_um=1e3 * panel["pixel_size"][0],
        tilt_axis_deg=0.0,
        alpha_start_deg=-50.0,
        step_deg=1.0,
        mode="continuous",
        counter_max=16383,
    )
    raw = RawSeries(
        counts=np.broadcast_to(np.zeros(1, dtype=np.uint32), (100, 1024, 1024)), found=Nominal(), source=base / "quartz"
    )
    peaks = Peaks(
        frame=np.clip(xyz[:, 2].astype(np.int64), 0, 99),
        fast_px=xyz[:, 0] - 0.5,
        slow_px=xyz[:, 1] - 0.5,
        intensity=intensity,
        sigma=np.sqrt(np.maximum(variance, 1.0)),
    )
    centre = np.array([-panel["origin"][0], panel["origin"][1]]) / panel["pixel_size"][0] - 0.5
    dataset = build_dataset(raw=raw, given=given)
    found, _ = index_peaks(dataset=dataset, peaks=peaks, centre_px=np.tile(centre, (100, 1)))
    return found, wanted


def read_xds(path: Path) -> tuple[Ints, Floats, Floats]:
    """hkl, intensity and sigma of XDS_ASCII.HKL, misfits (σ < 0) left out."""
    rows = np.array(
        [line.split()[:5] for line in path.read_text().splitlines() if line and line[0] != "!"], dtype=float
    )
    rows = rows[rows[:, 4] > 0]
    return rows[:, :3].astype(np.int64), rows[:, 3], rows[:, 4]


def cinchonine() -> tuple[ReducedSeries, Dataset]:
    """Raw frames reduced with what the log says."""
    dataset = read_series(data_folder() / "cinchonine" / "diff_raw_405x512x512_u16.h5")
    return reduce_series(dataset=dataset), dataset


def xds_ub() -> Floats:
    """ub of GXPARM.XDS at spindle angle 0: its axes are ours (x fast, y slow, z along the beam)."""
    lines = (data_folder() / "cinchonine" / "xds" / "GXPARM.XDS").read_text().splitlines()
    direct = np.array([[float(v) for v in line.split()] for line in lines[4:7]])
    return np.asarray(np.linalg.inv(direct))


def _merged_against_xds(reduced: ReducedSeries, n: Ints) -> list[Row]:
    hkl, intensity, sigma = read_xds(data_folder() / "cinchonine" / "xds" / "XDS_ASCII.HKL")
    hall = reduced.merged.hall
    table: dict[tuple[int, ...], list[tuple[float, float]]] = {}
    for h, i, s in zip(map(tuple, asymmetric_hkl(hkl, hall, friedel=True).tolist()), intensity, sigma, strict=True):
        table.setdefault(h, []).append((float(i), float(s)))
    ours = asymmetric_hkl(reduced.merged.hkl @ np.linalg.inv(n).T.round().astype(np.int64), hall, friedel=True)
    pairs = []
    for h, i in zip(map(tuple, ours.tolist()), reduced.merged.intensity.tolist(), strict=True):
        if h in table:
            values = np.array(table[h])
            pairs.append((i, float(np.average(values[:, 0], weights=values[:, 1] ** -2))))
    a, b = np.array(pairs).T
    fa, fb = np.sqrt(np.maximum(a, 0)), np.sqrt(np.maximum(b, 0))
    fa = fa * float(fa @ fb / (fa @ fa))
    r = 100.0 * float(np.sum(np.abs(fa - fb)) / np.sum(fb))
    return [
        Row(
            id="cinchonine-cc",
            quantity="CC of merged intensities with XDS",
            value=float(np.corrcoef(a, b)[0, 1]),
            unit="",
            n=len(a),
        ),
        Row(id="cinchonine-r", quantity="R on |F| against XDS", value=r, unit="%", n=len(a)),
    ]


def _cinchonine_rows() -> list[Row]:
    reduced, dataset = cinchonine()
    o, merged = reduced.orientation, reduced.merged
    n, turn = same_lattice(xds_ub(), o.ub)
    azimuth = (o.microscope.projection.tilt_axis_deg + 180.0) % 360.0 - 180.0
    ellipse = o.microscope.projection.ellipse_percent
    rows = _cell_rows("cinchonine", o.ub @ np.linalg.inv(n), (10.732, 7.283, 11.107, 90.0, 108.060, 90.0), "XDS")
    rows += [
        Row(
            id="cinchonine-axis",
            quantity="tilt-axis azimuth",
            value=azimuth,
            unit="°",
            peer="XDS",
            peer_value=-37.502,
            note=f"nominal {dataset.microscope.projection.tilt_axis_deg:g}",
        ),
        Row(id="cinchonine-turn", quantity="orientation of the crystal against XDS", value=turn, unit="°"),
        Row(id="cinchonine-ellipse", quantity="ellipse", value=ellipse, unit="%", note="XDS refined none"),
        Row(
            id="cinchonine-rint",
            quantity="R_int",
            value=merged.r_int_percent,
            unit="%",
            n=len(merged.hkl),
            note=f"to {merged.g_max_per_angstrom:.2f} Å⁻¹, class {merged.hall}",
        ),
        Row(id="cinchonine-complete", quantity="completeness", value=merged.completeness_percent, unit="%"),
    ]
    return rows + (_merged_against_xds(reduced, n) if np.isfinite(turn) else [])


def _glycine_rows() -> list[Row]:
    found, ub, cell = glycine()
    n, turn = same_lattice(ub, found.geometry.ub)
    good = 100.0 * float(np.mean(found.good))
    return [
        *_cell_rows("glycine", found.geometry.ub @ np.linalg.inv(n), cell, "reference CIF"),
        Row(id="glycine-turn", quantity="orientation of the crystal against PETS2", value=turn, unit="°"),
        Row(
            id="glycine-indexed",
            quantity="peaks indexed",
            value=good,
            unit="%",
            n=len(found.good),
            peer="PETS2 (.xyz within 0.15)",
            peer_value=97.0,
        ),
        Row(id="glycine-rms", quantity="residual of positions", value=found.rms_px, unit="px"),
    ]


def _quartz_rows() -> list[Row]:
    found, cell = quartz()
    return [
        *_cell_rows("quartz", found.geometry.ub, cell, "DIALS"),
        Row(
            id="quartz-indexed",
            quantity="spots indexed",
            value=100.0 * float(np.mean(found.good)),
            unit="%",
            n=len(found.good),
        ),
        Row(id="quartz-rms", quantity="residual of positions", value=found.rms_px, unit="px"),
        Row(
            id="quartz-axis",
            quantity="tilt-axis azimuth",
            value=(found.geometry.microscope.projection.tilt_axis_deg + 180) % 360 - 180,
            unit="°",
            peer="DIALS",
            peer_value=-0.531,
        ),
    ]


def real_rows() -> list[Row]:
    """Rows of every measured series that is there."""
    if not data_folder().is_dir():
        return []
    rows = _cinchonine_rows() + _glycine_rows()
    return rows + (_quartz_rows() if Path(PYTHON).is_file() else [])
