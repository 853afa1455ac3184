"""Mountings, poses and the streams that they are drawn from."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from twin.model.plan import Plan
from twin.physics.lattice import rotation_matrix, tilt_axis_vector
from twin.specimen.motion import make_poses
from twin.specimen.mounting import euler_mounting, lying_mounting, random_mounting
from twin.specimen.streams import stream

PLAN = Plan(mode="precession", start_deg=-35.7, step_deg=2.0, frame_count=40, exposure_s=4.0, precession_deg=1.2)
ERRORS = {
    "orientation_jitter_deg": 0.05, "centre_drift_px": 2.0, "position_drift_nm": 0.5, "position_runout_nm": 1.0,
    "intensity_sd_percent": 1.0,
}  # fmt: skip


def test_random_mountings_are_rotations_without_preferred_direction() -> None:
    matrices = np.array([random_mounting(stream(seed, "mounting")) for seed in range(400)])
    squares = matrices @ matrices.transpose(0, 2, 1)
    np.testing.assert_allclose(squares, np.broadcast_to(np.eye(3), squares.shape), atol=1e-12)
    np.testing.assert_allclose(np.linalg.det(matrices), 1.0)
    assert np.abs(matrices.mean(axis=0)).max() < 5 / np.sqrt(3 * 400)
    np.testing.assert_allclose((matrices**2).mean(axis=0), 1 / 3, atol=0.08)


@pytest.mark.parametrize("axis", [(0, 0, 1), (1, 0, 0), (-1, 0, 0), (1, 2, 3)])
def test_lying_rod_has_its_axis_in_the_membrane(axis: tuple[int, int, int]) -> None:
    for seed in range(10):
        u = np.array(lying_mounting(stream(seed, "mounting"), long_axis=axis))
        np.testing.assert_allclose(u @ u.T, np.eye(3), atol=1e-12)
        assert np.linalg.det(u) == pytest.approx(1.0)
        assert (u @ np.array(axis))[2] == pytest.approx(0.0, abs=1e-12)


def test_euler_angles_compose_from_right_to_left() -> None:
    u = np.array(euler_mounting(z_deg=90.0, x_deg=90.0, z2_deg=0.0))
    np.testing.assert_allclose(u @ [0, 1, 0], [0, 0, 1], atol=1e-12)
    np.testing.assert_allclose(u @ [1, 0, 0], [0, 1, 0], atol=1e-12)


def test_a_perfect_stage_turns_about_its_axis() -> None:
    poses = make_poses(plan=PLAN, tilt_axis_deg=-38.0, centre_px=(255.5, 250.0), seed=1)
    axis = tilt_axis_vector(-38.0)
    for pose, frame in zip(poses, PLAN.frames(), strict=True):
        np.testing.assert_allclose(pose.rotation_start, rotation_matrix(axis=axis, angle_deg=frame.alpha_start_deg))
        assert pose.rotation_end == pose.rotation_start
        assert (pose.centre_px, pose.shift_nm, pose.intensity_scale) == ((255.5, 250.0), (0.0, 0.0), 1.0)
        assert (pose.precession_deg, pose.exposure_s) == (1.2, 4.0)


def test_continuous_frames_join_end_to_start() -> None:
    plan = Plan(mode="continuous", start_deg=-10.0, step_deg=0.5, frame_count=5, exposure_s=0.5)
    poses = make_poses(plan=plan, tilt_axis_deg=20.0, centre_px=(0.0, 0.0), seed=1)
    for before, after in itertools.pairwise(poses):
        np.testing.assert_allclose(before.rotation_end, after.rotation_start, atol=1e-14)


def test_errors_have_the_stated_sizes() -> None:
    poses = make_poses(plan=PLAN, tilt_axis_deg=-38.0, centre_px=(255.5, 255.5), seed=7, **ERRORS)
    ideal = make_poses(plan=PLAN, tilt_axis_deg=-38.0, centre_px=(255.5, 255.5), seed=7)
    turns = [np.array(a.rotation_start) @ np.array(b.rotation_start).T for a, b in zip(poses, ideal, strict=True)]
    angles = np.degrees([np.arccos(np.clip((np.trace(t) - 1) / 2, -1, 1)) for t in turns])
    assert np.sqrt(np.mean(angles**2) / 3) == pytest.approx(0.05, rel=0.3)
    wander = np.array([p.centre_px for p in poses]) - 255.5
    assert np.linalg.norm(wander, axis=1).max() == pytest.approx(2.0)
    steps = np.linalg.norm(np.diff(wander, axis=0), axis=1)
    assert steps.max() < 0.8  # smooth, not a jump from frame to frame
    assert np.linalg.norm([p.shift_nm for p in poses], axis=1).max() <= 1.25 + 1e-9
    assert np.std([p.intensity_scale for p in poses]) == pytest.approx(0.01, rel=0.4)


def test_one_error_does_not_move_the_draws_of_another() -> None:
    steady = {**ERRORS, "intensity_sd_percent": 0.0}
    all_on = make_poses(plan=PLAN, tilt_axis_deg=0.0, centre_px=(0.0, 0.0), seed=3, **ERRORS)
    no_source = make_poses(plan=PLAN, tilt_axis_deg=0.0, centre_px=(0.0, 0.0), seed=3, **steady)
    assert [p.rotation_start for p in all_on] == [p.rotation_start for p in no_source]
    assert [p.centre_px for p in all_on] == [p.centre_px for p in no_source]


def test_streams_are_named_and_repeatable() -> None:
    assert stream(1, "shot/17").random() == stream(1, "shot/17").random()
    assert len({stream(s, n).random() for s in (1, 2) for n in ("shot/17", "shot/18", "jitter/17")}) == 6
