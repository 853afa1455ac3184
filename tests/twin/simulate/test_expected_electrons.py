"""Frames of electrons: nothing is lost, spots are where and as large as they must be, limits are met."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from twin.files.cif import read_crystal
from twin.model.instrument import Beam, Detector, Microscope, Projection
from twin.model.plan import Mode, Plan
from twin.model.specimen import Membrane, Particle
from twin.model.truth import Truth
from twin.physics.lattice import rotation_matrix
from twin.physics.projection import pixels_from_g
from twin.physics.structure_factors import potential_coefficients
from twin.simulate import Engine, expected_electrons
from twin.specimen.motion import make_poses
from twin.specimen.mounting import as_matrix3, random_mounting
from twin.specimen.shapes import volume_angstrom3
from twin.specimen.streams import stream

LIBRARY = Path(__file__).parents[3] / "scenarios" / "library" / "materials"
CRYSTAL = read_crystal(LIBRARY / "brookite.cif")
SCOPE = Microscope(
    name="test",
    beam=Beam(energy_kev=200.0, diameter_nm=25.0, flux_e_per_angstrom2_s=380.0, convergence_mrad=0.3),
    detector=Detector(name="test", fast_px=256, slow_px=256, pixel_size_um=55.0),
    projection=Projection(camera_length_mm=230.0, centre_fast_px=127.5, centre_slow_px=127.5, tilt_axis_deg=20.0),
)
ENGINE = Engine(g_max_per_angstrom=1.0, s_max_per_angstrom=0.02, azimuth_steps=32, dtype="float64")


def truth(
    *,
    size_nm: float = 8.0,
    membrane_nm: float = 0.0,
    mode: Mode = "precession",
    precession_deg: float = 1.0,
    step_deg: float = 1.0,
    shape: Particle | None = None,
) -> Truth:
    plan = Plan(
        mode=mode, start_deg=-5.0, step_deg=step_deg, frame_count=3, exposure_s=1.0, precession_deg=precession_deg
    )
    sphere = Particle(
        shape="sphere", size_nm=(size_nm, size_nm, size_nm), mounting=random_mounting(stream(4, "mounting"))
    )
    return Truth(
        crystal=CRYSTAL,
        particle=sphere if shape is None else shape,
        membrane=Membrane(material="carbon", thickness_nm=membrane_nm),
        microscope=SCOPE,
        plan=plan,
        poses=make_poses(plan=plan, tilt_axis_deg=20.0, centre_px=(127.5, 127.5), seed=1),
        seed=1,
    )


def test_every_electron_is_on_the_detector_without_absorption() -> None:
    world = truth()
    frame = expected_electrons(truth=world, pose=world.poses[0], engine=replace(ENGINE, absorption=False))
    assert frame.incident_e == pytest.approx(380.0 * np.pi * 125.0**2)
    assert frame.image.sum(dtype=np.float64) == pytest.approx(frame.incident_e, rel=1e-4)
    assert frame.thermal_e == pytest.approx(0.0, abs=1e-6 * frame.incident_e)
    assert frame.direct_beam_e + frame.intensity_e.sum() == pytest.approx(frame.incident_e, rel=1e-9)
    assert frame.image.min() >= 0.0


def test_membrane_and_vibrations_take_their_share() -> None:
    world = truth(membrane_nm=20.0)
    frame = expected_electrons(truth=world, pose=world.poses[0], engine=ENGINE)
    through = frame.direct_beam_e + frame.intensity_e.sum() + frame.thermal_e
    assert through / frame.incident_e == pytest.approx(np.exp(-20.0 / 233.6), rel=2e-3)
    assert 0.0 < frame.thermal_e < 0.05 * frame.on_particle_e
    total = frame.image.sum(dtype=np.float64)
    assert 0.97 * frame.incident_e < total < frame.incident_e  # the rest has left over the edge


def test_particle_meets_its_share_of_the_beam() -> None:
    world = truth()
    frame = expected_electrons(truth=world, pose=world.poses[0], engine=replace(ENGINE, kind="kinematical"))
    assert frame.on_particle_e / frame.incident_e == pytest.approx((8.0 / 25.0) ** 2, rel=0.01)
    assert frame.mean_thickness_angstrom == pytest.approx(80.0 * 2 / 3, rel=1e-3)
    away = replace(world.poses[0], shift_nm=(60.0, 0.0))
    missed = expected_electrons(truth=world, pose=away, engine=ENGINE)
    assert missed.on_particle_e < 1e-9 * missed.incident_e
    assert missed.intensity_e.sum() < 1e-9 * missed.incident_e
    assert missed.direct_beam_e == pytest.approx(missed.incident_e)


def test_thin_particle_scatters_kinematically() -> None:
    world = truth(size_nm=0.6)
    many = expected_electrons(truth=world, pose=world.poses[0], engine=replace(ENGINE, absorption=False))
    single = expected_electrons(truth=world, pose=world.poses[0], engine=replace(ENGINE, kind="kinematical"))
    strong = single.intensity_e > 0.05 * single.intensity_e.max()
    np.testing.assert_array_equal(many.hkl, single.hkl)
    np.testing.assert_allclose(many.intensity_e[strong], single.intensity_e[strong], rtol=0.06)
    thick = truth(size_nm=20.0)
    dynamical = expected_electrons(truth=thick, pose=thick.poses[0], engine=ENGINE)
    kinematical = expected_electrons(truth=thick, pose=thick.poses[0], engine=replace(ENGINE, kind="kinematical"))
    strong = kinematical.intensity_e > 0.02 * kinematical.intensity_e.max()
    ratio = dynamical.intensity_e[strong] / kinematical.intensity_e[strong]
    assert ratio.mean() < 0.97
    assert np.ptp(ratio) > 0.1  # not a common factor


def test_kinematical_intensity_swept_through_is_that_of_the_integral() -> None:
    """∫ I ds = (flux · t) (π |U| / K)² V: reflections that a wide rotation crosses completely, Lorentz factor ds/dα."""
    world = truth(size_nm=20.0, mode="continuous", precession_deg=0.0, step_deg=4.0)
    engine = replace(ENGINE, kind="kinematical", rotation_steps=400)
    pose = world.poses[1]
    frame = expected_electrons(truth=world, pose=pose, engine=engine)
    start, end = np.array(pose.rotation_start), np.array(pose.rotation_end)
    middle = rotation_matrix(axis=[np.cos(np.radians(20)), np.sin(np.radians(20)), 0], angle_deg=-2.0) @ end
    g = frame.g_lab
    k = 1.0 / 0.0250793
    s = np.stack([-(g @ (r @ middle.T).T)[:, 2] - np.sum(g**2, axis=1) / (2 * k) for r in (start, middle, end)])
    crossed = (s[0] * s[2] < 0) & (np.minimum(np.abs(s[0]), np.abs(s[2])) > 0.015)
    crossed &= np.abs(s[0] + s[2] - 2 * s[1]) < 0.02 * np.abs(s[2] - s[0])
    u = np.abs(potential_coefficients(crystal=CRYSTAL, hkl=frame.hkl, energy_kev=200.0))
    crossed &= u > 0.1 * u.max()
    assert crossed.sum() >= 3
    dose = 380.0 * (frame.incident_e / (380.0 * np.pi * 125.0**2))
    expected = dose * (np.pi * u / k) ** 2 * volume_angstrom3(world.particle) / np.abs(s[2] - s[0])
    np.testing.assert_allclose(frame.intensity_e[crossed], expected[crossed], rtol=0.05)


def test_spots_lie_where_the_projection_says_and_hold_their_electrons() -> None:
    world = truth(size_nm=20.0)
    frame = expected_electrons(truth=world, pose=world.poses[0], engine=replace(ENGINE, absorption=False))
    expected = pixels_from_g(g_xy=frame.g_lab[:, :2], microscope=SCOPE, centre_px=(127.5, 127.5))
    np.testing.assert_allclose(frame.position_px, expected, atol=1e-9)  # a sphere: no lean
    order = np.argsort(-frame.intensity_e)
    checked = 0
    for n in order[:30]:
        distance = np.linalg.norm(frame.position_px - frame.position_px[n], axis=1)
        x, y = np.rint(frame.position_px[n]).astype(int)
        if np.sort(distance)[1] < 9 or not (6 <= x < 250 and 6 <= y < 250) or np.hypot(x - 127, y - 127) < 20:
            continue
        box = frame.image[y - 4 : y + 5, x - 4 : x + 5].astype(np.float64)
        offset = np.arange(-4, 5)
        centre = np.array([x + box.sum(axis=0) @ offset / box.sum(), y + box.sum(axis=1) @ offset / box.sum()])
        assert box.sum() == pytest.approx(frame.intensity_e[n], rel=0.05)
        np.testing.assert_allclose(centre, frame.position_px[n], atol=0.06)
        checked += 1
    assert checked >= 5


def test_turning_the_specimen_about_the_beam_turns_the_pattern() -> None:
    world = truth()
    pose = world.poses[0]
    quarter = rotation_matrix(axis=[0, 0, 1], angle_deg=90.0)  # x towards y: fast towards slow
    turned_matrix = as_matrix3(quarter @ np.array(pose.rotation_start))
    turned = replace(pose, rotation_start=turned_matrix, rotation_end=turned_matrix)
    first = expected_electrons(truth=world, pose=pose, engine=ENGINE).image
    second = expected_electrons(truth=world, pose=turned, engine=ENGINE).image
    np.testing.assert_allclose(second, np.rot90(first, k=-1), atol=2e-3 * np.percentile(first, 99.9))


def test_thin_plate_leans_its_spots_off_the_lattice_point() -> None:
    """A still of a tilted plate: the spot sits where its relrod, along the normal, meets the sphere."""
    plate = Particle(shape="box", size_nm=(22.0, 22.0, 1.0), mounting=random_mounting(stream(8, "mounting")))
    world = truth(mode="stills", precession_deg=0.0, shape=plate)
    tilt = rotation_matrix(axis=[0, 1, 0], angle_deg=25.0) @ np.array(plate.mounting).T
    pose = replace(world.poses[0], rotation_start=as_matrix3(tilt), rotation_end=as_matrix3(tilt))
    frame = expected_electrons(truth=world, pose=pose, engine=replace(ENGINE, kind="kinematical"))
    normal = rotation_matrix(axis=[0, 1, 0], angle_deg=25.0)[:, 2]
    lean = frame.excitation_error[:, None] * normal[None, :2] / normal[2]
    expected = pixels_from_g(g_xy=frame.g_lab[:, :2] + lean, microscope=SCOPE, centre_px=(127.5, 127.5))
    np.testing.assert_allclose(frame.position_px, expected, atol=0.02)


def test_frames_are_repeatable_to_the_bit() -> None:
    world = truth(membrane_nm=5.0)
    engine = replace(ENGINE, dtype="float32")
    first = expected_electrons(truth=world, pose=world.poses[1], engine=engine)
    second = expected_electrons(truth=world, pose=world.poses[1], engine=engine)
    np.testing.assert_array_equal(first.image, second.image)


def test_single_precision_is_enough() -> None:
    world = truth()
    double = expected_electrons(truth=world, pose=world.poses[0], engine=ENGINE)
    single = expected_electrons(truth=world, pose=world.poses[0], engine=replace(ENGINE, dtype="float32"))
    np.testing.assert_allclose(single.intensity_e, double.intensity_e, atol=2e-4 * double.intensity_e.max())


def test_mosaic_spread_moves_intensity_but_makes_none() -> None:
    world = truth(size_nm=20.0)
    engine = replace(ENGINE, kind="kinematical", azimuth_steps=128)
    sharp = expected_electrons(truth=world, pose=world.poses[0], engine=engine)
    spread = replace(world, particle=replace(world.particle, mosaicity_deg=0.15))
    broad = expected_electrons(truth=spread, pose=world.poses[0], engine=engine)
    assert broad.intensity_e.sum() == pytest.approx(sharp.intensity_e.sum(), rel=0.1)
    reached = {tuple(h) for h in broad.hkl} - {tuple(h) for h in sharp.hkl}
    assert reached
