"""MTZ: what is written is read back by gemmi, with the symmetry, the cell and the centring that merging found."""

from __future__ import annotations

from pathlib import Path

import gemmi
import numpy as np
import pytest

from pipeline.io.mtz import rotation_group, write_mtz
from pipeline.types import MergedReflections, Orientation
from twin.files.errors import InputError
from twin.model.crystal import Cell
from twin.model.instrument import Beam, Detector, Microscope, Projection
from twin.physics.lattice import reciprocal_matrix

CELL = Cell(a_angstrom=5.1, b_angstrom=11.8, c_angstrom=5.46, beta_deg=112.0)


def _orientation(centring: str = "P") -> Orientation:
    microscope = Microscope(
        name="m",
        beam=Beam(energy_kev=200.0, diameter_nm=100.0, flux_e_per_angstrom2_s=1.0),
        detector=Detector(name="d", fast_px=512, slow_px=512, pixel_size_um=55.0),
        projection=Projection(camera_length_mm=500.0, centre_fast_px=256.0, centre_slow_px=256.0, tilt_axis_deg=0.0),
    )
    return Orientation(
        cell=CELL,
        ub=reciprocal_matrix(CELL),
        rotation=np.eye(3)[None],
        centre_px=np.zeros((1, 2)),
        microscope=microscope,
        indexed=np.ones(1, dtype=bool),
        hall="-P 2y",
        centring=centring,
        indexed_peaks_fraction=1.0,
    )


def _merged(hkl: np.ndarray) -> MergedReflections:
    intensity = np.linspace(-2.0, 5e4, len(hkl))
    return MergedReflections(
        hkl=hkl,
        intensity=intensity,
        sigma=1.0 + 0.01 * np.abs(intensity),
        multiplicity=np.ones(len(hkl), dtype=np.int64),
        hall="-P 2y",
        r_int_percent=5.0,
        completeness_percent=80.0,
        redundancy=3.0,
        g_max_per_angstrom=1.2,
    )


def test_round_trip(tmp_path: Path) -> None:
    hkl = np.array([[1, 2, -3], [0, 4, 1], [7, 0, 2], [-1, 1, 5]])
    merged = _merged(hkl)
    write_mtz(tmp_path / "merged.mtz", orientation=_orientation(), merged=merged)
    back = gemmi.read_mtz_file(str(tmp_path / "merged.mtz"))
    table = np.array(back, copy=False)
    order = [next(n for n in range(4) if np.array_equal(table[n, :3], h)) for h in hkl]
    assert np.allclose(table[order, 3], merged.intensity, rtol=1e-6)
    assert np.allclose(table[order, 4], merged.sigma, rtol=1e-6)
    assert back.column_labels() == ["H", "K", "L", "IMEAN", "SIGIMEAN"]
    assert [c.type for c in back.columns] == ["H", "H", "H", "J", "Q"]
    assert back.cell.parameters == pytest.approx(CELL.parameters)
    assert back.spacegroup.hm == "P 1 2 1"
    assert back.datasets[-1].wavelength == pytest.approx(0.02508, abs=1e-5)


@pytest.mark.parametrize(
    ("hall", "centring", "name"),
    [
        ("-P 1", "P", "P 1"),
        ("-P 2y", "C", "C 1 2 1"),
        ("-P 2 2", "P", "P 2 2 2"),
        ("-P 4 2", "I", "I 4 2 2"),
        ("-P 2 2 3", "I", "I 2 3"),
        ("-P 4 2 3", "F", "F 4 3 2"),
    ],
)
def test_rotations_of_the_laue_class_with_the_centring(hall: str, centring: str, name: str) -> None:
    assert rotation_group(hall, centring).hm == name


def test_nothing_to_write_is_said(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no reflections"):
        write_mtz(tmp_path / "x.mtz", orientation=_orientation(), merged=_merged(np.zeros((0, 3), dtype=np.int64)))
    assert not (tmp_path / "x.mtz").exists()
