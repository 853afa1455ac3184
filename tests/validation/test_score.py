"""Scores give back the errors that were put in, in whatever setting the lattice was found."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from twin.model.crystal import Cell
from twin.physics.lattice import cell_from_reciprocal_matrix, reciprocal_matrix
from validation.lattice_match import angle_deg, match_lattice, rotation_part
from validation.score import agreement, hkl_in_true_axes, score_lattice, score_orientation, true_rotations

CUBIC = Cell(a_angstrom=10.1269, b_angstrom=10.1269, c_angstrom=10.1269)
ORTHO = Cell(a_angstrom=9.7974, b_angstrom=9.9943, c_angstrom=3.764)
SETTINGS = {
    "as is": np.eye(3),
    "cyclic": np.array([[0, 1, 0], [0, 0, 1], [1, 0, 0]]).T,
    "swapped": np.array([[0, 1, 0], [1, 0, 0], [0, 0, -1]]).T,
    "turned": np.diag([-1, -1, 1]),
}


@pytest.mark.parametrize("cell", [CUBIC, ORTHO])
@pytest.mark.parametrize("setting", SETTINGS)
def test_lattice_is_matched_in_any_setting(cell, setting):
    """Length, ratio and angle errors do not depend on how the axes were called; hkl come back as they were."""
    rng = np.random.default_rng(3)
    ub = Rotation.random(rng=rng).as_matrix() @ reciprocal_matrix(cell)
    strain = np.diag([1 / 1.012, 1 / 1.010, 1 / 1.010])
    transform = SETTINGS[setting]
    found = ub @ strain @ np.linalg.inv(transform).T
    match = match_lattice(ub_found=found, ub_true=ub, hall_true="-P 1")
    assert match is not None
    assert match.max_length_error_percent == pytest.approx(1.2, abs=0.01)
    assert match.max_ratio_error_percent == pytest.approx(0.198, abs=0.01)
    assert match.max_angle_error_deg < 1e-6
    hkl = rng.integers(-9, 10, size=(30, 3))
    moved = hkl @ transform
    back = hkl_in_true_axes(hkl=moved, match=match)
    np.testing.assert_allclose(np.linalg.norm(back @ ub.T, axis=1), np.linalg.norm(hkl @ ub.T, axis=1), rtol=1e-9)
    np.testing.assert_array_equal(back, hkl)


def test_primitive_cell_of_a_centred_lattice_is_the_same_lattice():
    """A body-centred cubic crystal indexed on its primitive rhombohedral cell has no cell error."""
    ub = Rotation.random(rng=np.random.default_rng(5)).as_matrix() @ reciprocal_matrix(CUBIC)
    to_primitive = 0.5 * np.array([[-1, 1, 1], [1, -1, 1], [1, 1, -1]]).T
    primitive = ub @ np.linalg.inv(to_primitive).T
    assert cell_from_reciprocal_matrix(primitive).alpha_deg == pytest.approx(109.4712, abs=1e-3)
    match = match_lattice(ub_found=primitive, ub_true=ub, hall_true="-I 2b 2c 3")
    assert match is not None
    assert match.max_length_error_percent < 1e-9
    assert match_lattice(ub_found=primitive, ub_true=ub, hall_true="-P 2 2 3") is None


def test_another_lattice_is_not_matched_and_a_mirrored_one_is_turned():
    """6 % off: no match. A mirrored lattice is the same lattice in another orientation, and shows as such."""
    cell = Cell(a_angstrom=5.0, b_angstrom=6.1, c_angstrom=7.3, alpha_deg=81.0, beta_deg=96.0, gamma_deg=104.0)
    ub = reciprocal_matrix(cell)
    assert match_lattice(ub_found=ub / 1.06, ub_true=ub, hall_true="-P 1") is None
    inverted = match_lattice(ub_found=-ub, ub_true=ub, hall_true="-P 1")
    np.testing.assert_allclose(inverted.transform, -np.eye(3))
    np.testing.assert_allclose(inverted.ub, ub)
    mirrored = match_lattice(ub_found=np.diag([1, 1, -1]) @ ub, ub_true=ub, hall_true="-P 1")
    turn = rotation_part(mirrored.ub @ np.linalg.inv(ub))
    assert mirrored.max_length_error_percent < 1e-9
    assert angle_deg(turn[None])[0] == pytest.approx(180.0)


@settings(max_examples=25, deadline=None)
@given(angle=st.floats(0.005, 2.0), seed=st.integers(0, 10_000))
def test_common_rotation_is_absolute_error_only(fake_run, angle, seed):
    """A turn of the crystal common to all frames shows in the absolute error at its size, and not in the relative."""
    rng = np.random.default_rng(seed)
    axis = rng.normal(size=3)
    turn = Rotation.from_rotvec(np.radians(angle) * axis / np.linalg.norm(axis)).as_matrix()
    truth = fake_run.truth
    ub = turn @ np.array(truth.particle.mounting) @ reciprocal_matrix(truth.crystal.cell) / 1.01
    exact = replace(fake_run.orientation, ub=ub, rotation=true_rotations(truth.poses))
    score = score_orientation(orientation=exact, match=score_lattice(orientation=exact, truth=truth), truth=truth)
    assert score is not None
    assert score.rms_error_deg < 1e-5
    np.testing.assert_allclose(score.absolute_deg, angle, rtol=1e-4)
    assert score.common_deg == pytest.approx(angle, rel=1e-4)


def test_jitter_of_one_frame_is_found_on_that_frame(fake_run):
    """0.5° on one frame: that frame has nearly all of it, and equivalent settings of a frame cost nothing."""
    truth = fake_run.truth
    rotation = true_rotations(truth.poses)
    bad = Rotation.from_rotvec([0.0, np.radians(0.5), 0.0]).as_matrix()
    rotation[4] = bad @ rotation[4]
    ub = np.array(truth.particle.mounting) @ reciprocal_matrix(truth.crystal.cell)
    two_fold = np.array(truth.particle.mounting) @ np.diag([1, -1, -1]) @ np.array(truth.particle.mounting).T
    rotation[7] = rotation[7] @ two_fold
    exact = replace(fake_run.orientation, ub=ub, rotation=rotation)
    score = score_orientation(orientation=exact, match=score_lattice(orientation=exact, truth=truth), truth=truth)
    assert score is not None
    n = len(rotation)
    assert score.absolute_deg[4] == pytest.approx(0.5, rel=1e-3)
    assert score.error_deg[4] == pytest.approx(0.5 * (n - 1) / n, rel=0.02)
    assert np.max(np.delete(score.absolute_deg, 4)) < 1e-5


def test_unindexed_frames_do_not_count(fake_run):
    indexed = np.ones(len(fake_run.orientation.rotation), dtype=bool)
    indexed[[0, 3]] = False
    part = replace(fake_run.orientation, indexed=indexed)
    match = score_lattice(orientation=part, truth=fake_run.truth)
    score = score_orientation(orientation=part, match=match, truth=fake_run.truth)
    assert np.all(np.isnan(score.error_deg) == ~indexed)
    assert np.isfinite(score.rms_error_deg)
    none = replace(part, indexed=np.zeros_like(indexed))
    assert score_orientation(orientation=none, match=match, truth=fake_run.truth) is None


def test_agreement_is_blind_to_scale_and_sees_noise():
    """A factor changes nothing; independent noise of relative size x gives R near x times E|N(0,1)|."""
    rng = np.random.default_rng(1)
    truth = rng.gamma(2.0, size=4000) * 100
    assert agreement(measured=7.3 * truth, truth=truth).r_percent < 1e-10
    noisy = agreement(measured=truth * (1 + 0.1 * rng.normal(size=4000)), truth=truth)
    assert noisy.r_percent == pytest.approx(100 * 0.1 * np.sqrt(2 / np.pi), rel=0.06)
    assert 0.98 < noisy.cc < 1.0
    assert agreement(measured=truth[:2], truth=truth[:2]) is None
    assert agreement(measured=np.full(9, np.nan), truth=np.ones(9)) is None
