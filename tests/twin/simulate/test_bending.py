"""Bent and mosaic particles: limits, conservation, and the orientations that a bent rod really has."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from twin.files.cif import read_crystal
from twin.model.instrument import Beam, Detector, Microscope, Projection
from twin.model.plan import Plan
from twin.model.specimen import Membrane, Particle
from twin.model.truth import Truth
from twin.physics.lattice import rotation_matrix
from twin.simulate import Engine, ExpectedFrame, expected_electrons
from twin.simulate.exposure import exposure_of
from twin.specimen.motion import make_poses
from twin.specimen.mounting import as_matrix3

LIBRARY = Path(__file__).parents[3] / "scenarios" / "library" / "materials"
SCOPE = Microscope(
    name="test",
    beam=Beam(energy_kev=200.0, diameter_nm=60.0, flux_e_per_angstrom2_s=50.0, convergence_mrad=0.3),
    detector=Detector(name="test", fast_px=128, slow_px=128, pixel_size_um=55.0),
    projection=Projection(camera_length_mm=120.0, centre_fast_px=63.5, centre_slow_px=63.5, tilt_axis_deg=20.0),
)
LYING = as_matrix3(
    rotation_matrix(axis=[0.0, 1.0, 0.2], angle_deg=83.0) @ rotation_matrix(axis=[0.0, 0.0, 1.0], angle_deg=40.0)
)
ENGINE = Engine(g_max_per_angstrom=1.0, s_max_per_angstrom=0.02, azimuth_steps=64, absorption=False, dtype="float64")


def truth(*, bending: float = 0.0, mosaicity: float = 0.0, diameter: float = 8.0, length: float = 24.0) -> Truth:
    """A brookite rod along c that lies nearly in the plane of the specimen."""
    particle = Particle(
        shape="rod",
        size_nm=(diameter, diameter, length),
        mounting=LYING,
        bending_deg_per_nm=bending,
        mosaicity_deg=mosaicity,
    )
    plan = Plan(mode="precession", start_deg=0.0, step_deg=1.0, frame_count=1, exposure_s=1.0, precession_deg=1.0)
    return Truth(
        crystal=read_crystal(LIBRARY / "brookite.cif"),
        particle=particle,
        membrane=Membrane(material="none"),
        microscope=SCOPE,
        plan=plan,
        poses=make_poses(plan=plan, tilt_axis_deg=20.0, centre_px=(63.5, 63.5), seed=1),
        seed=1,
    )


def frame(world: Truth, engine: Engine = ENGINE) -> ExpectedFrame:
    return expected_electrons(truth=world, pose=world.poses[0], engine=engine)


def intensities(found: ExpectedFrame) -> dict[tuple[int, ...], float]:
    return {tuple(h): float(i) for h, i in zip(found.hkl.tolist(), found.intensity_e, strict=True)}


@pytest.mark.parametrize("kind", ["bloch", "kinematical"])
def test_a_vanishing_bend_is_none(kind: str) -> None:
    engine = replace(ENGINE, kind=kind)  # type: ignore[arg-type]
    straight, bent = frame(truth(), engine), frame(truth(bending=1e-9), engine)
    rounding = 3e-7 * float(straight.intensity_e.max())  # thicknesses are gathered in bins
    np.testing.assert_array_equal(straight.hkl, bent.hkl)
    np.testing.assert_allclose(bent.intensity_e, straight.intensity_e, rtol=1e-5, atol=rounding)
    np.testing.assert_allclose(bent.image, straight.image, rtol=1e-4, atol=1e-6 * float(straight.image.max()))


@pytest.mark.parametrize(("bending", "mosaicity"), [(0.05, 0.0), (-0.02, 0.1), (0.0, 0.2)])
def test_every_electron_stays(bending: float, mosaicity: float) -> None:
    found = frame(truth(bending=bending, mosaicity=mosaicity))
    assert found.direct_beam_e + found.intensity_e.sum() == pytest.approx(found.incident_e, rel=1e-6)
    assert found.image.sum(dtype=np.float64) <= found.incident_e * (1 + 1e-6)
    assert found.thermal_e <= 1e-4 * found.on_particle_e
    assert found.image.min() >= 0.0


def test_a_bend_moves_single_scattering_about_but_makes_none() -> None:
    """Reflections that the cone crosses completely have the same integral wherever the lattice points."""
    engine = replace(ENGINE, kind="kinematical", azimuth_steps=128)
    straight, bent = intensities(frame(truth(), engine)), intensities(frame(truth(bending=0.012), engine))
    large = [h for h, i in straight.items() if i > 0.02 * max(straight.values())]
    ratio = np.array([bent.get(h, 0.0) / straight[h] for h in large])
    assert np.std(ratio) > 1e-4  # it does something
    assert sum(bent.values()) == pytest.approx(sum(straight.values()), rel=0.03)
    assert np.median(np.abs(ratio - 1.0)) < 0.05


def test_a_long_rod_is_the_sum_of_its_pieces() -> None:
    """A slab-like box bent by 0.06° is the mean of straight boxes in the orientations of its parts."""
    world = truth()
    box = replace(
        world.particle, shape="box", size_nm=(400.0, 6.0, 12.0), mounting=as_matrix3(np.eye(3)), bending_deg_per_nm=0.03
    )
    engine = replace(ENGINE, kind="kinematical", azimuth_steps=32)
    laid = as_matrix3(rotation_matrix(axis=[1.0, 0.0, 0.0], angle_deg=90.0))  # third axis in the plane
    box = replace(box, mounting=laid)
    bent = intensities(frame(replace(world, particle=box), engine))
    exposure = exposure_of(particle=box, cell=world.crystal.cell, beam=SCOPE.beam, pose=world.poses[0], engine=engine)
    assert exposure.strips is not None
    count = len(exposure.strips.share)
    angles = 0.03 * 12.0 * ((np.arange(count) + 0.5) / count - 0.5)
    total: dict[tuple[int, ...], float] = {}
    for angle in angles:
        axis = exposure.axes_lab[:, 0]
        turned = as_matrix3(rotation_matrix(axis=axis, angle_deg=float(angle)) @ np.array(laid))
        # the shape stays where it is: turn the lattice only, which for so small angles changes the box by nothing
        piece = replace(box, mounting=turned, bending_deg_per_nm=0.0)
        for h, i in intensities(frame(replace(world, particle=piece), engine)).items():
            total[h] = total.get(h, 0.0) + i / count
    strong = [h for h, i in total.items() if i > 0.05 * max(total.values())]
    assert len(strong) > 10
    assert [bent[h] for h in strong] == pytest.approx([total[h] for h in strong], rel=0.02)


def test_the_strips_are_where_the_lattice_turns() -> None:
    world = truth(bending=0.05)
    exposure = exposure_of(
        particle=world.particle, cell=world.crystal.cell, beam=SCOPE.beam, pose=world.poses[0], engine=ENGINE
    )
    assert exposure.strips is not None
    steps = len(exposure.sampling.weight) // len(exposure.strips.share)
    assert exposure.sampling.weight.sum() == pytest.approx(1.0)
    assert exposure.strips.share.sum() == pytest.approx(1.0)
    first, last = exposure.sampling.turns[0], exposure.sampling.turns[-1]
    angle = np.degrees(np.arccos(0.5 * (np.trace(last @ first.T) - 1.0)))
    count = len(exposure.strips.share)
    middles = 0.05 * 24.0 * (count - 1) / count  # from the first strip's to the last one's
    assert angle == pytest.approx(middles, rel=0.03)
    turned = last @ first.T @ exposure.axes_lab[:, 0]
    np.testing.assert_allclose(turned, exposure.axes_lab[:, 0], atol=1e-12)  # about the particle's first axis
    np.testing.assert_allclose(np.linalg.norm(exposure.sampling.directions, axis=1), 1.0)
    assert steps == 64


def test_multiple_scattering_weakens_as_a_rod_bends() -> None:
    """A bent crystal is nowhere long in one orientation: fewer reflections are strong at once, more are met."""
    straight, bent = frame(truth(diameter=20.0)), frame(truth(diameter=20.0, bending=0.08))
    assert len(bent.hkl) > len(straight.hkl)
    strongest = np.sort(straight.intensity_e)[-5:].sum(), np.sort(bent.intensity_e)[-5:].sum()
    assert strongest[1] < strongest[0]
