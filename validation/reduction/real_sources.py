"""What measured series and their publishers left: spots of PETS2 and of DIALS, frames and reflections of XDS."""

from __future__ import annotations

import json
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pipeline.io.cif_pets import read_cif_pets, to_laboratory
from pipeline.io.series.build import build_dataset
from pipeline.io.series.nominal import Nominal, RawSeries
from pipeline.io.series.pets_project import parse_project, project_nominal
from pipeline.reduction.first_lattice import first_geometry, index_series, search_axis
from pipeline.reduction.indexing import points_at_zero_tilt
from pipeline.reduction.lattice import Indexed
from pipeline.reduction.noise import NoiseModel
from pipeline.reduction.spots import Survey
from pipeline.types import Peaks
from twin.model.dataset import Dataset
from twin.physics.lattice import cell_from_reciprocal_matrix
from validation.realdata import data_folder
from validation.reduction.dials import PYTHON

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Spots:
    """Spots that others found, what is known of the series, where the centre of each frame is (frames, 2) in px."""

    dataset: Dataset
    peaks: Peaks
    centre_px: Floats


def indexed(spots: Spots) -> tuple[Indexed, tuple[str, ...]]:
    """The chain from spots to the refined lattice, and its sentences."""
    dataset, peaks = spots.dataset, spots.peaks
    seen = Survey(
        centre_px=spots.centre_px,
        beam_seen=np.ones(len(spots.centre_px), dtype=bool),
        beam_radius_px=3.0,
        noise=NoiseModel(gain=1.0, psi=0.0, pixels=0),
        peaks=peaks,
    )
    axis, weight, limit = search_axis(dataset, seen)
    start, sentence = first_geometry(dataset, seen, axis, weight, limit)
    g_peaks = float(np.quantile(np.linalg.norm(points_at_zero_tilt(peaks=peaks, geometry=start), axis=1), 0.995))
    found, _, more = index_series(dataset, peaks, start, g_peaks)
    return found, (sentence, *more)


def _without_frames(nominal: Nominal, source: Path, shape: tuple[int, int, int], alpha: Floats, half: float) -> Dataset:
    raw = RawSeries(
        counts=np.broadcast_to(np.zeros(1, dtype=np.uint32), shape),
        found=nominal,
        source=source,
        alpha_start_deg=alpha - half,
        alpha_end_deg=alpha + half,
    )
    return build_dataset(raw=raw, given=Nominal())


def glycine_spots() -> tuple[Spots, tuple[float, ...]]:
    """Peaks of PETS2 (.rpl, centres .cenloc), and the reference cell of the project."""
    base = data_folder() / "glycine_pets"
    keys, images = parse_project((base / "glycine.pts").read_text(encoding="latin-1"), source=base / "glycine.pts")
    table = np.loadtxt(base / "glycine.rpl")
    centre = np.loadtxt(base / "glycine.cenloc")[:, :2] - 1.0
    count = min(len(images), len(centre))
    alpha = np.array([a for _, a in images])[:count]
    peaks = Peaks(
        frame=np.argmin(np.abs(table[:, 9][:, None] - alpha[None, :]), axis=1).astype(np.int64),
        fast_px=table[:, 7] - 1.0,
        slow_px=table[:, 8] - 1.0,
        intensity=table[:, 3] * 10.0,
        sigma=np.full(len(table), 10.0),
    )
    nominal = project_nominal(keys, source=base / "glycine.pts")
    dataset = _without_frames(nominal, base / "glycine.pts", (count, 516, 516), alpha, 0.178)
    return Spots(dataset=dataset, peaks=peaks, centre_px=centre[:count]), tuple(
        float(v) for v in keys["referencecell"][:6]
    )


def glycine_pets() -> tuple[Floats, Floats, tuple[float, ...]]:
    """What PETS2 made of its peaks, in our laboratory: ub (3, 3), vectors (n, 3) of peaks clustered over frames (.xyz),
    both in Å⁻¹; and its own cell, refined without constraint."""
    base = data_folder() / "glycine_pets"
    pets = read_cif_pets(base / "glycine.cif_pets")
    ub, _ = to_laboratory(pets)
    vectors = np.loadtxt(base / "glycine.xyz")[:, :3] @ (ub @ np.linalg.inv(pets.ub)).T
    return ub, vectors, pets.cell.parameters


def quartz_spots() -> tuple[Spots, tuple[float, ...]]:
    """Strong spots of DIALS, and the cell that it refined."""
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
    nominal = Nominal(
        wavelength_angstrom=0.02508,
        camera_length_mm=-panel["origin"][2],
        pixel_size_um=1e3 * panel["pixel_size"][0],
        tilt_axis_deg=0.0,
        mode="continuous",
        counter_max=16383,
    )
    peaks = Peaks(
        frame=np.clip(xyz[:, 2].astype(np.int64), 0, 99),
        fast_px=xyz[:, 0] - 0.5,
        slow_px=xyz[:, 1] - 0.5,
        intensity=intensity,
        sigma=np.sqrt(np.maximum(variance, 1.0)),
    )
    centre = np.array([-panel["origin"][0], panel["origin"][1]]) / panel["pixel_size"][0] - 0.5
    dataset = _without_frames(nominal, base / "quartz", (100, 1024, 1024), -49.5 + np.arange(100.0), 0.5)
    spots = Spots(dataset=dataset, peaks=peaks, centre_px=np.tile(centre, (100, 1)))
    return spots, cell_from_reciprocal_matrix(np.linalg.inv(real)).parameters


def read_xds(path: Path) -> tuple[Ints, Floats, Floats]:
    """hkl, intensity and sigma of XDS_ASCII.HKL, misfits (σ < 0) left out."""
    rows = np.array(
        [line.split()[:5] for line in path.read_text().splitlines() if line and line[0] != "!"], dtype=float
    )
    rows = rows[rows[:, 4] > 0]
    return rows[:, :3].astype(np.int64), rows[:, 3], rows[:, 4]


def xds_ub() -> Floats:
    """ub of GXPARM.XDS at spindle angle 0: its axes are ours (x fast, y slow, z along the beam)."""
    lines = (data_folder() / "cinchonine" / "xds" / "GXPARM.XDS").read_text().splitlines()
    direct = np.array([[float(v) for v in line.split()] for line in lines[4:7]])
    return np.asarray(np.linalg.inv(direct))
