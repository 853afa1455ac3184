"""Spots beside the lattice are counted, and a second crystal is named."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from pipeline.reduction.geometry import Geometry
from pipeline.reduction.unexplained import unexplained_spots
from pipeline.types import Peaks
from twin.model.crystal import Cell
from twin.physics.lattice import miller_indices, reciprocal_matrix
from twin.physics.projection import pixels_from_g

CELL = Cell(a_angstrom=5.1, b_angstrom=6.4, c_angstrom=9.1)
ALPHA = np.arange(-50.0, 50.0, 1.0)


@pytest.fixture(scope="module")
def base(synthetic):
    return Geometry(
        ub=reciprocal_matrix(CELL),
        centre_px=np.full((len(ALPHA), 2), 256.0),
        turn=np.tile(np.eye(3), (len(ALPHA), 1, 1)),
        alpha_deg=ALPHA,
        microscope=synthetic.nominal_microscope(),
    )


def _spots(base, ub, least=0.0, most=0.004):
    """Pixels (n, 2) and frames of all nodes between these distances, Å⁻¹, from the sphere."""
    hkl = miller_indices(reciprocal=ub, g_max_per_angstrom=0.9)[1:]
    xy, frame = [], []
    for f, rotation in enumerate(base.rotation):
        g = hkl @ (rotation @ ub).T
        away = np.abs(g[:, 2] + 0.0125 * np.sum(g**2, axis=1))
        near = (least <= away) & (away < most)
        xy.append(pixels_from_g(g_xy=g[near, :2], microscope=base.microscope, centre_px=np.full(2, 256.0)))
        frame.append(np.full(np.count_nonzero(near), f))
    return np.concatenate(xy), np.concatenate(frame)


def _peaks(xy, frame):
    full = np.full(len(xy), 100.0)
    return Peaks(frame=frame, fast_px=xy[:, 0], slow_px=xy[:, 1], intensity=full, sigma=full / 20.0)


def test_nothing_to_say_when_all_is_explained(base) -> None:
    peaks = _peaks(*_spots(base, base.ub))
    good = np.ones(len(peaks.frame), dtype=bool)
    assert unexplained_spots(peaks=peaks, good=good, geometry=base, g_max_per_angstrom=0.9) == ""


def test_a_second_crystal_is_named(base) -> None:
    turned = Rotation.from_rotvec([0.5, -0.4, 0.9]).as_matrix() @ base.ub
    (xy, frame), (xy2, frame2) = _spots(base, base.ub), _spots(base, turned)
    peaks = _peaks(np.concatenate([xy, xy2]), np.concatenate([frame, frame2]))
    good = np.arange(len(peaks.frame)) < len(frame)
    said = unexplained_spots(peaks=peaks, good=good, geometry=base, g_max_per_angstrom=0.9)
    assert said.startswith("warning: ")
    assert "another crystal" in said


def test_scattered_spots_form_no_lattice(base) -> None:
    rng = np.random.default_rng(3)
    xy, frame = _spots(base, base.ub)
    noise = rng.uniform(150, 360, size=(len(frame) // 3, 2))
    peaks = _peaks(np.concatenate([xy, noise]), np.concatenate([frame, rng.integers(0, len(ALPHA), len(noise))]))
    good = np.arange(len(peaks.frame)) < len(frame)
    said = unexplained_spots(peaks=peaks, good=good, geometry=base, g_max_per_angstrom=0.9)
    assert "no lattice of their own" in said


def test_tails_of_strong_reflections_are_not_taken_for_another_crystal(base) -> None:
    """Nodes of the lattice itself, 0.025 to 0.035 Å⁻¹ from the sphere: too far to be indexed in space."""
    (xy, frame), (xy2, frame2) = _spots(base, base.ub), _spots(base, base.ub, least=0.025, most=0.035)
    peaks = _peaks(np.concatenate([xy, xy2]), np.concatenate([frame, frame2]))
    good = np.arange(len(peaks.frame)) < len(frame)
    said = unexplained_spots(peaks=peaks, good=good, geometry=base, g_max_per_angstrom=0.9)
    assert "further from the Ewald sphere" in said
    assert "warning" not in said


def test_a_place_beside_the_beam_is_no_second_crystal(base) -> None:
    """The halo of the direct beam found as a spot on most frames, at one place."""
    xy, frame = _spots(base, base.ub)
    rng = np.random.default_rng(2)
    halo = np.array([244.0, 250.0]) + 0.4 * rng.normal(size=(len(ALPHA), 2))
    peaks = _peaks(np.concatenate([xy, halo]), np.concatenate([frame, np.arange(len(ALPHA))]))
    good = np.arange(len(peaks.frame)) < len(frame)
    said = unexplained_spots(peaks=peaks, good=good, geometry=base, g_max_per_angstrom=0.9)
    assert said.startswith(f"{len(ALPHA)} spots stay at their places")
    assert "0 of the other" in said
    assert "another crystal" not in said
