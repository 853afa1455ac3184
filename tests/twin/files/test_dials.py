"""DIALS reads our series: same wavelength, axis, detector, lattice and orientation. Skipped where it is not installed.

The series is kinematical, In2O3-like: body-centred cubic with structure factors of the tables, Gaussian spots.
"""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from twin.files.nxmx import write_dataset
from twin.model.crystal import Cell, Crystal, Site
from twin.model.dataset import Dataset
from twin.model.instrument import Beam, Detector, Microscope, Projection
from twin.model.plan import Mode
from twin.physics.electrons import wavelength_angstrom, wavenumber_per_angstrom
from twin.physics.ewald import excitation_errors, precession_directions
from twin.physics.lattice import miller_indices, reciprocal_matrix, rotation_matrix, tilt_axis_vector
from twin.physics.projection import pixels_from_g
from twin.physics.structure_factors import structure_factors

pytestmark = pytest.mark.skipif(shutil.which("dials.import") is None, reason="DIALS (Debian package dials) is not here")

_PX = 512
_MICROSCOPE = Microscope(
    name="Synthetic 200 kV",
    beam=Beam(energy_kev=200.0, diameter_nm=25.0, flux_e_per_angstrom2_s=380.0),
    detector=Detector(name="Synthetic", fast_px=_PX, slow_px=_PX, pixel_size_um=55.0),
    projection=Projection(camera_length_mm=330.0, centre_fast_px=251.3, centre_slow_px=260.8, tilt_axis_deg=-37.5),
)
_CELL = Cell(a_angstrom=10.1269, b_angstrom=10.1269, c_angstrom=10.1269)
_CRYSTAL = Crystal(  # bixbyite, Marezio (1966) Acta Cryst. 20, 723; rounded, the test is about geometry
    name="bixbyite",
    cell=_CELL,
    hall="-I 2b 2c 3",
    sites=(
        Site(label="In1", element="In", fract=(0.25, 0.25, 0.25)),
        Site(label="In2", element="In", fract=(0.466, 0.0, 0.25)),
        Site(label="O1", element="O", fract=(0.390, 0.154, 0.382)),
    ),
)
_UB = rotation_matrix(axis=[0.3, 0.5, 0.81], angle_deg=71.0) @ reciprocal_matrix(_CELL)


def _series(mode: Mode, start_deg: np.ndarray, width_deg: float, precession_deg: float) -> Dataset:
    hkl = miller_indices(reciprocal=_UB, g_max_per_angstrom=1.4)[1:]
    strength = np.abs(structure_factors(crystal=_CRYSTAL, hkl=hkl)) ** 2
    hkl, strength = hkl[strength > 1e-3], strength[strength > 1e-3]
    strength *= 2000.0 / np.percentile(strength, 90)
    generator = np.random.default_rng(5)
    frames = [
        generator.poisson(_image(hkl, strength, np.linspace(a, a + width_deg, 5 if width_deg else 1), precession_deg))
        for a in start_deg
    ]
    return Dataset(
        counts=np.minimum(frames, 65535).astype(np.uint32),
        alpha_start_deg=start_deg,
        alpha_end_deg=start_deg + width_deg,
        exposure_s=np.full(len(start_deg), 0.5),
        bad_pixels=np.zeros((_PX, _PX), dtype=np.bool_),
        microscope=_MICROSCOPE,
        mode=mode,
        precession_deg=precession_deg,
        name="bixbyite",
    )


def _image(hkl: np.ndarray, strength: np.ndarray, alphas_deg: np.ndarray, precession_deg: float) -> np.ndarray:
    """Expected counts: spots of 1.3 px, rocking curves of 0.0025 Å⁻¹, a flat and a central background."""
    p = _MICROSCOPE.projection
    x, y = np.arange(_PX, dtype=float), np.arange(_PX, dtype=float)[:, None]
    from_centre = (x - p.centre_fast_px) ** 2 + (y - p.centre_slow_px) ** 2
    image = 2.0 + 5.0 * np.exp(-from_centre / 1800.0) + 3e4 * np.exp(-from_centre / 8.0)
    k = wavenumber_per_angstrom(energy_kev=200.0)
    beams = precession_directions(precession_deg=precession_deg, steps=128)
    for alpha in alphas_deg:
        g = hkl @ (rotation_matrix(axis=tilt_axis_vector(p.tilt_axis_deg), angle_deg=alpha) @ _UB).T
        s = excitation_errors(g_lab=g, directions=beams, wavenumber_per_angstrom=k)
        weight = np.exp(-0.5 * (s / 0.0025) ** 2).mean(axis=1) * (8.0 if precession_deg else 1.0) / len(alphas_deg)
        lit = weight > 1e-4
        spots = pixels_from_g(g_xy=g[lit, :2], microscope=_MICROSCOPE)
        wave_x = np.exp(-((x - spots[:, :1]) ** 2) / (2 * 1.3**2))
        wave_y = np.exp(-((x - spots[:, 1:]) ** 2) / (2 * 1.3**2))
        image += (wave_y * (weight * strength)[lit, None] / (2 * np.pi * 1.3**2)).T @ wave_x
    return image


def _dials(folder: Path, *command: str) -> None:
    environment = {"PATH": "/usr/bin:/bin:/usr/local/bin", "OMP_NUM_THREADS": "1", "HOME": str(folder)}
    program = shutil.which(command[0])
    assert program is not None
    done = subprocess.run(
        [program, *command[1:]], cwd=folder, env=environment, capture_output=True, text=True, timeout=500, check=False
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]


def _to_ours(vector: object) -> np.ndarray:
    """dxtbx keeps imgCIF axes, which are ours with x and z turned round."""
    return np.array([-1.0, 1.0, -1.0]) * np.asarray(vector, dtype=float)


@pytest.mark.parametrize(
    ("mode", "step_deg", "first_deg"),
    [("precession", 2.0, -5.0), ("continuous", 2.0, -4.0), ("continuous", -2.0, -4.0), ("stills", -2.0, -5.0)],
)
def test_dials_imports_the_geometry_that_was_written(
    tmp_path: Path, mode: Mode, step_deg: float, first_deg: float
) -> None:
    start = np.sign(step_deg) * (-4.0 + 2.0 * np.arange(3))
    write_dataset(tmp_path / "frames.nxs", _series(mode, start, step_deg if mode == "continuous" else 0.0, 0.0))
    _dials(tmp_path, "dials.import", "frames.nxs")
    models: dict[str, Any] = json.loads((tmp_path / "imported.expt").read_text())
    assert models["beam"][0]["wavelength"] == pytest.approx(wavelength_angstrom(energy_kev=200.0), rel=1e-12)
    # dxtbx gives the direction from sample to source: against our beam, along +z
    np.testing.assert_allclose(_to_ours(models["beam"][0]["direction"]), [0.0, 0.0, -1.0], atol=1e-12)
    # decreasing angles are the same motion about the opposite axis with increasing ones
    axis = np.sign(step_deg) * _to_ours(models["goniometer"][0]["rotation_axis"])
    np.testing.assert_allclose(axis, tilt_axis_vector(-37.5), atol=1e-12)
    assert models["scan"][0]["oscillation"] == pytest.approx([first_deg, 2.0])
    panel = models["detector"][0]["panels"][0]
    np.testing.assert_allclose(_to_ours(panel["fast_axis"]), [1.0, 0.0, 0.0], atol=1e-12)
    np.testing.assert_allclose(_to_ours(panel["slow_axis"]), [0.0, 1.0, 0.0], atol=1e-12)
    corner = [-0.055 * (251.3 + 0.5), -0.055 * (260.8 + 0.5), 330.0]
    np.testing.assert_allclose(_to_ours(panel["origin"]), corner, atol=1e-9)
    assert panel["trusted_range"][1] == 65535


@pytest.mark.slow
@pytest.mark.parametrize(
    ("mode", "step_deg", "frames", "precession_deg", "angle_deg"),
    [("precession", 2.0, 40, 1.2, 0.1), ("continuous", 0.5, 120, 0.0, 0.03)],
)
def test_dials_finds_our_cell_and_orientation(
    tmp_path: Path, mode: Mode, step_deg: float, frames: int, precession_deg: float, angle_deg: float
) -> None:
    start = step_deg * (np.arange(frames) - 0.5 * frames)
    write_dataset(
        tmp_path / "frames.nxs", _series(mode, start, step_deg if mode == "continuous" else 0.0, precession_deg)
    )
    _dials(tmp_path, "dials.import", "frames.nxs")
    _dials(tmp_path, "dials.find_spots", "imported.expt", "nproc=1")
    _dials(tmp_path, "dials.index", "imported.expt", "strong.refl", "detector.fix=distance")
    crystal = json.loads((tmp_path / "indexed.expt").read_text())["crystal"][0]
    direct = np.array([_to_ours(crystal[f"real_space_{axis}"]) for axis in "abc"])
    # primitive against body-centred: the transformation has halves, and half the determinant
    to_primitive = direct @ _UB
    whole = np.round(2 * to_primitive) / 2
    assert abs(np.linalg.det(whole)) == pytest.approx(0.5)
    difference = np.linalg.inv(direct) @ whole @ np.linalg.inv(_UB)  # rotation and stretch from ours to theirs
    u, stretch, v = np.linalg.svd(difference)
    cosine = 0.5 * (np.trace(u @ v) * np.sign(np.linalg.det(u @ v)) - 1.0)
    assert np.degrees(np.arccos(min(cosine, 1.0))) < angle_deg
    np.testing.assert_allclose(stretch, 1.0, atol=3e-3)
