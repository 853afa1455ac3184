"""Poses of a serial acquisition: uniform on SO(3), each frame its own."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from twin.model.plan import Plan
from twin.specimen.serial import serial_poses

PLAN = Plan(mode="serial", start_deg=0.0, step_deg=0.0, frame_count=600, exposure_s=0.5)


def test_orientations_have_no_preferred_direction() -> None:
    poses = serial_poses(plan=PLAN, centre_px=(10.0, 20.0), seed=3)
    matrices = np.array([p.rotation_start for p in poses])
    np.testing.assert_allclose(np.linalg.det(matrices), 1.0)
    assert np.abs(matrices.mean(axis=0)).max() < 5 / np.sqrt(3 * len(poses))
    np.testing.assert_allclose((matrices**2).mean(axis=0), 1 / 3, atol=0.07)
    angle = np.sort(Rotation.from_matrix(matrices).magnitude())  # density (1 − cos ω)/π: not that of uniform angles
    expected = (angle - np.sin(angle)) / np.pi
    assert np.abs(expected - (np.arange(len(angle)) + 0.5) / len(angle)).max() < 1.63 / np.sqrt(len(angle))


def test_a_frame_does_not_depend_on_how_many_there_are() -> None:
    few = serial_poses(plan=replace(PLAN, frame_count=7), centre_px=(0.0, 0.0), seed=3, motion_deg=0.3)
    many = serial_poses(plan=PLAN, centre_px=(0.0, 0.0), seed=3, motion_deg=0.3)
    assert few == many[:7]
    assert few != serial_poses(plan=replace(PLAN, frame_count=7), centre_px=(0.0, 0.0), seed=4, motion_deg=0.3)


def test_a_particle_turns_by_its_motion_about_any_axis() -> None:
    still = serial_poses(plan=PLAN, centre_px=(0.0, 0.0), seed=3)
    assert all(p.rotation_start == p.rotation_end and p.precession_deg == 0.0 for p in still)
    moving = serial_poses(plan=PLAN, centre_px=(0.0, 0.0), seed=3, motion_deg=0.7)
    start = Rotation.from_matrix(np.array([p.rotation_start for p in moving]))
    end = Rotation.from_matrix(np.array([p.rotation_end for p in moving]))
    vector = np.degrees((end * start.inv()).as_rotvec())
    np.testing.assert_allclose(np.linalg.norm(vector, axis=1), 0.7, rtol=1e-9)
    assert np.abs(vector.mean(axis=0)).max() < 4 * 0.7 / np.sqrt(3 * len(moving))


def test_particles_lie_all_over_their_disc() -> None:
    poses = serial_poses(plan=PLAN, centre_px=(0.0, 0.0), seed=3, position_spread_nm=2.0)
    radius = np.hypot(*np.array([p.shift_nm for p in poses]).T)
    assert radius.max() <= 2.0
    assert np.mean(radius**2) == pytest.approx(2.0, rel=0.1)  # r²/2 of a uniform disc
