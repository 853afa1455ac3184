"""The multislice engine of the twin: the same electrons, on the same places, as the Bloch engine; what it adds."""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from twin.files.cif import read_crystal
from twin.model.instrument import Beam, Detector, Microscope, Projection
from twin.model.plan import Mode, Plan
from twin.model.specimen import Membrane, Particle
from twin.model.truth import Truth
from twin.physics.multislice import AtomCloud, Grid
from twin.physics.projection import g_from_pixels, pixels_from_g
from twin.simulate import Engine, ExpectedFrame, expected_electrons
from twin.simulate.background import diffuse_image
from twin.simulate.multislice import Pattern, field_of_view, foresee, on_detector, scattered_pattern, shared_discs
from twin.specimen.membrane import MATERIALS, interference, transmitted_fraction
from twin.specimen.motion import make_poses
from twin.specimen.mounting import as_matrix3, random_mounting
from twin.specimen.streams import stream

LIBRARY = Path(__file__).parents[3] / "scenarios" / "library" / "materials"
SCOPE = Microscope(
    name="test",
    beam=Beam(energy_kev=200.0, diameter_nm=25.0, flux_e_per_angstrom2_s=380.0, convergence_mrad=0.3),
    detector=Detector(name="test", fast_px=192, slow_px=256, pixel_size_um=55.0),
    projection=Projection(
        camera_length_mm=230.0, centre_fast_px=90.0, centre_slow_px=131.0, tilt_axis_deg=20.0, ellipse_percent=1.0
    ),
)
BLOCH = Engine(g_max_per_angstrom=1.0, s_max_per_angstrom=0.1, azimuth_steps=8, absorption=False)
WAVES = replace(BLOCH, kind="multislice")


def truth(*, mode: Mode = "precession", size_nm: float = 4.0) -> Truth:
    plan = Plan(
        mode=mode, start_deg=-5.0, step_deg=0.5, frame_count=2, exposure_s=1.0,
        precession_deg=1.0 if mode == "precession" else 0.0,
    )  # fmt: skip
    mounting = as_matrix3(np.array(random_mounting(stream(4, "mounting"))))
    return Truth(
        crystal=read_crystal(LIBRARY / "brookite.cif"),
        particle=Particle(shape="sphere", size_nm=(size_nm, size_nm, size_nm), mounting=mounting),
        membrane=Membrane(),
        microscope=SCOPE,
        plan=plan,
        poses=make_poses(plan=plan, tilt_axis_deg=20.0, centre_px=(90.0, 131.0), seed=1),
        seed=1,
    )


@pytest.fixture(scope="module")
def pair() -> tuple[ExpectedFrame, ExpectedFrame]:
    world = truth()
    return (
        expected_electrons(truth=world, pose=world.poses[0], engine=BLOCH),
        expected_electrons(truth=world, pose=world.poses[0], engine=WAVES),
    )


def side_by_side(one: ExpectedFrame, other: ExpectedFrame) -> tuple[np.ndarray, np.ndarray]:
    where = {tuple(h): i for i, h in enumerate(other.hkl.tolist())}
    rows = np.array([where[tuple(h)] for h in one.hkl.tolist() if tuple(h) in where])
    mine = np.array([i for i, h in enumerate(one.hkl.tolist()) if tuple(h) in where])
    return one.intensity_e[mine], other.intensity_e[rows]


def test_intensities_are_electrons_on_the_same_scale_as_bloch_waves(pair: tuple[ExpectedFrame, ExpectedFrame]) -> None:
    ours, theirs = side_by_side(pair[0], pair[1])
    strong = np.argsort(-ours)[:12]
    ratio = theirs[strong] / ours[strong]
    assert 0.9 < np.median(ratio) < 1.0  # a disc holds about 95 % of a small sphere's spot
    assert np.corrcoef(ours[strong], theirs[strong])[0, 1] > 0.995


def test_whole_patterns_agree_away_from_the_direct_beam(pair: tuple[ExpectedFrame, ExpectedFrame]) -> None:
    bloch, waves = (frame.image.astype(np.float64) for frame in pair)
    y, x = np.mgrid[:256, :192]
    outer = np.hypot(x - 90.0, y - 131.0) > 14.0
    assert np.linalg.norm(bloch[outer] - waves[outer]) < 0.12 * np.linalg.norm(bloch[outer])
    mirrored = waves[:, ::-1]
    assert np.linalg.norm(bloch[outer] - mirrored[outer]) > 0.8 * np.linalg.norm(bloch[outer])
    assert waves[outer].sum() == pytest.approx(bloch[outer].sum(), rel=0.25)  # the tails are in ours alone


def test_no_electron_is_lost_but_over_the_edge(pair: tuple[ExpectedFrame, ExpectedFrame]) -> None:
    frame = pair[1]
    assert frame.image.sum(dtype=np.float64) == pytest.approx(frame.incident_e, rel=5e-4)
    assert 0.9 * frame.incident_e < frame.direct_beam_e < frame.incident_e
    assert frame.on_particle_e / frame.incident_e == pytest.approx((4.0 / 25.0) ** 2, rel=0.01)


def test_a_rotation_turns_the_atoms() -> None:
    world = truth(mode="continuous", size_nm=5.0)
    few = replace(WAVES, g_max_per_angstrom=0.8, rotation_steps=3)
    waves = expected_electrons(truth=world, pose=world.poses[0], engine=few)
    bloch = expected_electrons(truth=world, pose=world.poses[0], engine=replace(few, kind="bloch"))
    ours, theirs = side_by_side(bloch, waves)
    strong = np.argsort(-ours)[:8]
    assert np.corrcoef(ours[strong], theirs[strong])[0, 1] > 0.99


def test_frozen_phonons_scatter_between_the_spots_and_are_drawn_from_the_seed() -> None:
    world = truth(size_nm=3.0)
    engine = replace(WAVES, azimuth_steps=4, g_max_per_angstrom=1.4, slice_angstrom=2.0)
    shaken = replace(engine, phonon_configurations=4)
    still = expected_electrons(truth=world, pose=world.poses[0], engine=engine)
    one, two = (expected_electrons(truth=world, pose=world.poses[0], engine=shaken) for _ in range(2))
    assert np.array_equal(one.image, two.image)
    ours, theirs = side_by_side(still, one)
    strong = np.argsort(-ours)[:10]
    assert np.median(theirs[strong] / ours[strong]) == pytest.approx(1.0, abs=0.05)  # as damped by U
    low = one.image < np.quantile(still.image, 0.3)
    assert one.image[low].sum() > 1.2 * still.image[low].sum()


def test_a_film_of_atoms_scatters_as_its_atoms_do_and_keeps_the_electrons() -> None:
    """Beyond 0.7 Å⁻¹ atoms that know of each other by their least distance alone add their intensities, within some
    percent; the mean film has the rings of real carbon there, which are divided out. Atoms at rest are damped by T²."""
    world = replace(truth(), membrane=Membrane(material="carbon", thickness_nm=5.0))
    pose, energy = world.poses[0], SCOPE.beam.energy_kev
    mean, atoms = (
        expected_electrons(truth=world, pose=pose, engine=engine)
        for engine in (WAVES, replace(WAVES, film_as_atoms=True))
    )
    assert atoms.image.sum(dtype=np.float64) == pytest.approx(mean.image.sum(dtype=np.float64), rel=1e-3)
    y, x = np.mgrid[:256, :192]
    pixels = np.stack([x, y], axis=-1).astype(np.float64)
    q = np.linalg.norm(g_from_pixels(pixels=pixels, microscope=SCOPE, centre_px=(90.0, 131.0)), axis=-1)
    ring = (q > 0.7) & (q < 0.95)
    field = field_of_view(half_angstrom=20.0, g_max_per_angstrom=WAVES.g_max_per_angstrom).extent_angstrom
    share = field**2 / (np.pi * (5.0 * SCOPE.beam.diameter_nm) ** 2)
    passed = transmitted_fraction(membrane=world.membrane, energy_kev=energy)
    background = diffuse_image(
        microscope=SCOPE, centre_px=(90.0, 131.0), membrane=world.membrane, crystal=world.crystal,
        membrane_electrons=mean.incident_e, thermal_electrons=0.0, loss_electrons=0.0,
    )  # fmt: skip
    particle = (mean.image - background)[ring].sum(dtype=np.float64) / passed
    film = atoms.image[ring].sum(dtype=np.float64) - (1.0 - share) * background[ring].sum() - passed * particle
    damping = np.exp(-4.0 * np.pi**2 * 0.006 * q**2)  # the film's U of 0.006 Å²
    alone = background * damping / interference(MATERIALS["carbon"], q)
    assert film == pytest.approx(share * alone[ring].sum(), rel=0.15)
    assert not np.array_equal(atoms.image, mean.image)


def test_the_cost_is_told_before_the_start(caplog: pytest.LogCaptureFixture) -> None:
    world = truth(size_nm=2.0)
    with caplog.at_level(logging.INFO, logger="twin.simulate.multislice"):
        expected_electrons(
            truth=world, pose=world.poses[0], engine=replace(WAVES, azimuth_steps=1, g_max_per_angstrom=0.5)
        )
    assert "MiB" in caplog.text
    assert "slices" in caplog.text
    sentence = foresee(truth=world, engine=replace(WAVES, azimuth_steps=1, g_max_per_angstrom=0.5))
    assert "2 frames" in sentence
    assert "MiB" in sentence


def test_an_atom_without_weight_scatters_nothing() -> None:
    nothing = AtomCloud(
        position_angstrom=np.array([[15.0, 15.0, 0.0]]), element=np.array([0]), weight=np.zeros(1), elements=("O",),
        u_iso_angstrom2=(0.0,),
    )  # fmt: skip
    pattern = scattered_pattern(
        runs=iter([(nothing, np.array([[0.02, 0.0, 1.0]]) / np.hypot(0.02, 1.0))]),
        beam=SCOPE.beam,
        shift_nm=(3.0, -2.0),
        grid=Grid(points=64, extent_angstrom=30.0),
        slice_angstrom=1.0,
    )
    assert pattern.direct == pytest.approx(1.0, abs=1e-6)
    assert pattern.intensity.sum() < 1e-10


def test_discs_that_overlap_share_what_is_there() -> None:
    image = np.zeros((128, 128))
    image[10, 20], image[10, 40] = 3.0, 5.0
    pattern = Pattern(intensity=image, step_per_angstrom=0.01, direct=0.0, on_field=1.0)
    g = np.array([[0.2, 0.1], [0.22, 0.1], [0.4, 0.1]])
    got = shared_discs(pattern=pattern, g_xy=g, weight=np.array([2.0, 1.0, 7.0]), radius_per_angstrom=0.05)
    np.testing.assert_allclose(got, [2.0, 1.0, 5.0])


def test_drawing_keeps_the_electrons_and_puts_them_where_they_belong() -> None:
    n, step = 512, 0.004
    q = np.fft.fftfreq(n, 1.0 / n) * step
    spot = np.exp(-((q[None, :] - 0.31) ** 2 + (q[:, None] + 0.22) ** 2) / (2 * 0.01**2))
    image = on_detector(
        pattern=Pattern(intensity=spot, step_per_angstrom=step, direct=0.0, on_field=1.0),
        microscope=SCOPE,
        centre_px=(90.0, 131.0),
    )
    assert image.sum(dtype=np.float64) == pytest.approx(spot.sum(), rel=2e-3)
    fast, slow = pixels_from_g(g_xy=[0.31, -0.22], microscope=SCOPE, centre_px=(90.0, 131.0))
    y, x = np.mgrid[:256, :192]
    centre = (image * x).sum() / image.sum(), (image * y).sum() / image.sum()
    assert centre == pytest.approx((fast, slow), abs=0.05)


def test_the_field_has_room_and_band() -> None:
    grid = field_of_view(half_angstrom=50.0, g_max_per_angstrom=1.6)
    assert grid.extent_angstrom > 115.0
    assert grid.band_per_angstrom >= 1.15 * 1.6 - 1e-9
    assert grid.points % 2 == 0
