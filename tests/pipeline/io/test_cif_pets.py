"""PETS files: measured ones obey their own geometry, ours come back as they went out."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from pipeline.io.cif_pets import (
    dynamical_cif_pets,
    kinematical_cif_pets,
    parse_cif_pets,
    read_cif_pets,
    to_laboratory,
    zone_excitation,
    zone_rotations,
)
from pipeline.reduction.axis import tilt_rotations
from pipeline.types import MergedReflections, Orientation, Reflections
from twin.files.errors import InputError
from twin.model.crystal import Cell
from twin.model.instrument import Beam, Detector, Microscope, Projection
from twin.physics.electrons import wavelength_angstrom
from twin.physics.lattice import miller_indices, reciprocal_matrix

REALDATA = Path(os.environ.get("EDTWIN_REALDATA", Path(__file__).resolve().parents[4] / "shared" / "realdata"))
FILES = (
    "albite/pets2_albite.cif_pets", "urea/pets2_urea.cif_pets", "glycine_pets/glycine_dyn.cif_pets",
    "quartz_pets/quartz_exp_data.cif_pets", "quartz_pets/quartz_malik.cif_pets", "quartz_dials/dials_dyn.cif_pets",
    "quartz_dials/dials_prf.cif_pets",
)  # fmt: skip


@pytest.mark.realdata
@pytest.mark.parametrize("name", FILES)
def test_measured_files_obey_their_geometry(name) -> None:
    """The zone axes follow from UB and the angles, and the reflections lie near the Ewald sphere of their zone."""
    path = REALDATA / name
    if not path.is_file():
        pytest.skip(f"measured data are not there: {path}")
    pets = read_cif_pets(path)
    beam = np.einsum("ji,fkj,k->fi", pets.ub, zone_rotations(pets), [0.0, 0.0, 1.0])
    cosine = np.sum(beam * pets.uvw, axis=1) / np.linalg.norm(beam, axis=1) / np.linalg.norm(pets.uvw, axis=1)
    assert np.min(cosine) > 1 - 1e-6
    s, length = zone_excitation(pets)
    assert np.all(pets.zone >= 0)
    near = np.abs(s) < 2.0 * length * np.radians(pets.precession_deg[pets.zone]) + 0.003
    assert np.mean(near) > 0.85  # DIALS also lists reflections near the rotation axis, which sweep for long
    wrong = np.abs(s + 2 * np.sum((pets.hkl @ pets.ub.T) ** 2, axis=1) * pets.wavelength_angstrom / 2)
    assert np.mean(wrong) > np.mean(np.abs(s))  # the beam runs along -z, not +z


def _orientation(frames: int = 9) -> Orientation:
    rng = np.random.default_rng(4)
    cell = Cell(a_angstrom=5.1, b_angstrom=7.3, c_angstrom=9.2, alpha_deg=88.0, beta_deg=97.0, gamma_deg=91.0)
    ub = Rotation.random(random_state=3).as_matrix() @ reciprocal_matrix(cell)
    turn = Rotation.from_rotvec(np.radians(rng.normal(scale=0.2, size=(frames, 3)))).as_matrix()
    alpha = np.linspace(-40, 40, frames)
    microscope = Microscope(
        name="m", beam=Beam(energy_kev=200.0, diameter_nm=25.0, flux_e_per_angstrom2_s=1.0),
        detector=Detector(name="d", fast_px=512, slow_px=512, pixel_size_um=55.0),
        projection=Projection(camera_length_mm=280.0, centre_fast_px=256.0, centre_slow_px=256.0, tilt_axis_deg=-37.0),
    )  # fmt: skip
    return Orientation(
        cell=cell, ub=ub, rotation=turn @ tilt_rotations(tilt_axis_deg=-37.0, alpha_deg=alpha),
        centre_px=np.zeros((frames, 2)),
        microscope=microscope, indexed=np.ones(frames, dtype=bool), hall="-P 1", centring="P",
        indexed_peaks_fraction=1.0,
    )  # fmt: skip


def _reflections(o: Orientation) -> Reflections:
    hkl = miller_indices(reciprocal=o.ub, g_max_per_angstrom=0.9)[1:]
    parts = []
    for f in range(len(o.rotation)):
        g = hkl @ (o.rotation[f] @ o.ub).T
        s = -g[:, 2] - np.sum(g**2, axis=1) * wavelength_angstrom(energy_kev=200.0) / 2
        near = np.abs(s) < np.linalg.norm(g, axis=1) * np.radians(1.2)
        parts.append((hkl[near], np.full(int(near.sum()), f), s[near]))
    h, f, s = (np.concatenate(c) for c in zip(*parts, strict=True))
    flat = np.ones(len(h))
    return Reflections(
        hkl=h, frame=f, intensity=np.arange(len(h)) * 1.25 - 3.0, sigma=2.5 * flat, fast_px=flat, slow_px=flat,
        excitation_error_per_angstrom=s, swept_fraction=flat, frame_scale=np.linspace(0.9, 1.1, len(o.rotation)),
        precession_deg=1.2,
    )  # fmt: skip


def test_dynamical_file_comes_back() -> None:
    o = _orientation()
    r = _reflections(o)
    pets = parse_cif_pets(dynamical_cif_pets(orientation=o, reflections=r, r_s_g_max=None))
    assert len(pets.hkl) == len(r.hkl)
    order = np.lexsort((r.hkl[:, 2], r.hkl[:, 1], r.hkl[:, 0], r.frame))
    assert np.array_equal(pets.hkl, r.hkl[order])
    assert np.array_equal(pets.zone, r.frame[order])
    assert np.allclose(pets.intensity, r.intensity[order], atol=0.006)
    s, _ = zone_excitation(pets)
    assert np.max(np.abs(s - r.excitation_error_per_angstrom[order])) < 1e-4  # UB has five decimals
    ub, rotation = to_laboratory(pets)
    back, true = rotation @ ub, o.rotation @ o.ub
    assert np.max(np.abs(back - true)) < 3e-5
    assert np.allclose(pets.omega_deg, 37.0, atol=1.5)


def test_dynamical_file_keeps_weak_and_cuts_by_excitation() -> None:
    o = _orientation()
    r = _reflections(o)
    pets = parse_cif_pets(dynamical_cif_pets(orientation=o, reflections=r, r_s_g_max=0.75))
    s, length = zone_excitation(pets)
    assert np.max(np.abs(s) / (length * np.radians(1.2))) < 0.77
    assert len(pets.hkl) < len(r.hkl)
    assert np.min(pets.intensity) < 0


def test_kinematical_file_has_each_reflection_once() -> None:
    o = _orientation()
    r = _reflections(o)
    hkl = np.unique(r.hkl, axis=0)
    one = np.ones(len(hkl))
    merged = MergedReflections(
        hkl=hkl, intensity=10 * one, sigma=one, multiplicity=one.astype(np.int64), hall="-P 1", r_int_percent=1.0,
        completeness_percent=50.0, redundancy=1.0, g_max_per_angstrom=0.9,
    )  # fmt: skip
    pets = parse_cif_pets(kinematical_cif_pets(orientation=o, merged=merged, reflections=r))
    assert np.array_equal(pets.hkl, hkl)
    s, length = zone_excitation(pets)
    assert np.all(np.abs(s) < length * np.radians(1.21))


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("_diffrn_orient_matrix_UB_22", "_nothing", "UB_22|ub_22"),
        ("_cell_length_a", "_nothing", "_cell_length_a"),
        ("_refln_index_h", "_refln_index_x", "_refln_index_h"),
        ("2.50", "nan", "not finite"),
        ("2.50", "abc", "not a number"),
        ("   1.200", "", "another number|columns"),
    ],
)
def test_damaged_files_end_in_a_sentence(old, new, words) -> None:
    o = _orientation(3)
    text = dynamical_cif_pets(orientation=o, reflections=_reflections(o))
    assert old in text
    with pytest.raises(InputError, match=words):
        parse_cif_pets(text.replace(old, new))
