"""Fine slices of a continuous rotation summed to virtual frames."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from pipeline.io.cif_pets import dynamical_cif_pets, parse_cif_pets, to_laboratory
from pipeline.reduction.axis import tilt_rotations
from pipeline.reduction.indexing import lattice_points
from pipeline.reduction.virtual_frames import Windows, usual_windows, virtual_frames
from pipeline.types import Orientation, Reflections
from twin.physics.electrons import wavenumber_per_angstrom
from twin.physics.lattice import reciprocal_matrix
from validation import reference

SLICE_DEG, SLICES, WIDTH = 0.1, 300, 0.0008


@pytest.fixture(scope="module")
def slices() -> tuple[Orientation, Reflections]:
    """Gaussian rocking curves of brookite cut into slices: each reflection's parts add up to its index sum."""
    microscope = reference.microscope()
    ub = Rotation.from_rotvec([0.4, 0.2, -0.7]).as_matrix() @ reciprocal_matrix(reference.BROOKITE.cell)
    alpha = -15.0 + SLICE_DEG * (np.arange(SLICES) + 0.5)
    rotation = tilt_rotations(tilt_axis_deg=microscope.projection.tilt_axis_deg, alpha_deg=alpha)
    k = wavenumber_per_angstrom(energy_kev=microscope.beam.energy_kev)
    hkl = lattice_points(ub=ub, centring="P", g_max_per_angstrom=0.8)
    g = np.einsum("fij,nj->fni", rotation, hkl @ ub.T)
    s = -g[:, :, 2] - np.sum(g**2, axis=2) / (2 * k)
    part = np.exp(-0.5 * (s / WIDTH) ** 2)
    frame, row = np.nonzero(np.abs(s) < 6 * WIDTH)
    counts = 100.0 * (1.0 + np.abs(hkl[row]).sum(axis=1)) * part[frame, row]
    n = len(row)
    lattice = Orientation(
        cell=reference.BROOKITE.cell, ub=ub, rotation=rotation, centre_px=np.tile([256.0, 250.0], (SLICES, 1)),
        microscope=microscope, indexed=np.ones(SLICES, dtype=bool), hall="-P 2 2", centring="P",
        indexed_peaks_fraction=1.0,
    )  # fmt: skip
    spots = Reflections(
        hkl=hkl[row], frame=frame, intensity=counts, sigma=np.sqrt(counts + 4.0), fast_px=np.zeros(n),
        slow_px=np.zeros(n), excitation_error_per_angstrom=s[frame, row], swept_fraction=0.1 * part[frame, row],
        frame_scale=np.ones(SLICES), precession_deg=0.5 * SLICE_DEG, partiality=part[frame, row],
    )  # fmt: skip
    return lattice, spots


def test_usual_windows_are_those_of_pets() -> None:
    assert usual_windows(0.18) == Windows(merged=7, step=5)
    assert usual_windows(0.125) == Windows(merged=10, step=7)
    assert usual_windows(2.0) == Windows(merged=1, step=1)


def test_counts_are_summed_and_nothing_else(slices) -> None:
    lattice, spots = slices
    o, v = virtual_frames(orientation=lattice, reflections=spots, windows=Windows(merged=10, step=10))
    assert len(o.rotation) == SLICES // 10
    assert v.intensity.sum() == pytest.approx(spots.intensity.sum())  # windows without overlap: each slice once
    assert np.sum(v.sigma**2) == pytest.approx(np.sum(spots.sigma**2))
    assert v.precession_deg == pytest.approx(0.5)
    both = np.column_stack([v.frame, v.hkl])
    assert len(np.unique(both, axis=0)) == len(both)


def test_orientation_and_excitation_errors_are_those_of_the_middle(slices) -> None:
    lattice, spots = slices
    o, v = virtual_frames(orientation=lattice, reflections=spots, windows=Windows(merged=9, step=7))
    turn = Rotation.from_matrix(o.rotation[3] @ lattice.rotation[3 * 7 + 4].T).magnitude()
    assert np.degrees(turn) < 1e-6
    own = (v.frame == 3) & (np.abs(v.excitation_error_per_angstrom) < 4 * WIDTH)
    middle = spots.frame == 3 * 7 + 4
    known = dict(zip(map(tuple, spots.hkl[middle].tolist()), spots.excitation_error_per_angstrom[middle], strict=True))
    assert np.count_nonzero(own) > 2
    for h, s in zip(map(tuple, v.hkl[own].tolist()), v.excitation_error_per_angstrom[own], strict=True):
        assert s == pytest.approx(known[h], abs=1e-9)


def test_reflections_well_inside_have_their_whole_curve(slices) -> None:
    lattice, spots = slices
    o, v = virtual_frames(orientation=lattice, reflections=spots, windows=Windows(merged=25, step=18))
    g = np.einsum("nij,nj->ni", o.rotation[v.frame], v.hkl @ o.ub.T)
    phi = np.radians(o.microscope.projection.tilt_axis_deg)
    lever = np.abs(np.cos(phi) * g[:, 1] - np.sin(phi) * g[:, 0])
    half = np.radians(v.precession_deg) * lever
    inside = np.abs(v.excitation_error_per_angstrom) < half - 5 * WIDTH
    step = np.radians(SLICE_DEG) * lever[inside]  # in s from slice to slice
    counts = 100.0 * (1.0 + np.abs(v.hkl[inside]).sum(axis=1)) * WIDTH * np.sqrt(2 * np.pi) / step
    fine = step < 1.5 * WIDTH
    assert np.count_nonzero(fine) > 20
    assert v.intensity[inside][fine] == pytest.approx(counts[fine], rel=0.02)


def test_slices_without_orientation_take_no_part(slices) -> None:
    lattice, spots = slices
    known = np.ones(SLICES, dtype=bool)
    known[40:60] = False
    o, v = virtual_frames(
        orientation=replace(lattice, indexed=known), reflections=spots, windows=Windows(merged=10, step=10)
    )
    assert o.indexed.tolist() == [True] * 4 + [False] * 2 + [True] * 24
    assert not np.any((v.frame == 4) | (v.frame == 5))


def test_the_file_says_what_was_summed(slices) -> None:
    lattice, spots = slices
    windows = Windows(merged=10, step=7)
    o, v = virtual_frames(orientation=lattice, reflections=spots, windows=windows)
    text = dynamical_cif_pets(orientation=o, reflections=v, mode="continuous", details=windows.sentence())
    pets = parse_cif_pets(text, source="virtual.cif_pets")
    assert "number of merged frames: 10" in pets.details
    assert np.allclose(pets.precession_deg, 0.5)
    ub, rotation = to_laboratory(pets)
    g, again = o.rotation[2] @ o.ub, rotation[2] @ ub
    assert np.abs(g - again).max() < 1e-4
