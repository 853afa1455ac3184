"""The cut-off that is chosen keeps its promise; far beams make a cut-off better; a frame depends on no other."""

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
from twin.physics.lattice import Floats, Ints
from twin.simulate import Engine, expected_electrons
from twin.simulate.cutoff import LADDER, rising_cut_off, series_cut_off
from twin.simulate.frame import ExpectedFrame
from twin.specimen.motion import make_poses
from twin.specimen.mounting import random_mounting
from twin.specimen.streams import stream
from twin.specimen.wulff import polyhedron, wulff_half_spaces

LIBRARY = Path(__file__).parents[3] / "scenarios" / "library" / "materials"
CRYSTAL = read_crystal(LIBRARY / "brookite.cif")
PLAN = Plan(mode="precession", start_deg=-5.0, step_deg=5.0, frame_count=2, exposure_s=1.0, precession_deg=1.0)
MOUNTING = random_mounting(stream(4, "mounting"))
SPHERE = Particle(shape="sphere", size_nm=(12.0, 12.0, 12.0), mounting=MOUNTING)
WORLD = Truth(
    crystal=CRYSTAL,
    particle=SPHERE,
    membrane=Membrane(material="carbon", thickness_nm=0.0),
    microscope=Microscope(
        name="test",
        beam=Beam(energy_kev=200.0, diameter_nm=25.0, flux_e_per_angstrom2_s=380.0, convergence_mrad=0.3),
        detector=Detector(name="test", fast_px=256, slow_px=256, pixel_size_um=55.0),
        projection=Projection(camera_length_mm=230.0, centre_fast_px=127.5, centre_slow_px=127.5, tilt_axis_deg=20.0),
    ),
    plan=PLAN,
    poses=make_poses(plan=PLAN, tilt_axis_deg=20.0, centre_px=(127.5, 127.5), seed=1),
    seed=1,
)
ENGINE = Engine(g_max_per_angstrom=1.4, s_max_per_angstrom=None)


def frame(engine: Engine, *, world: Truth = WORLD, index: int = 0) -> ExpectedFrame:
    return expected_electrons(truth=world, pose=world.poses[index], engine=engine)


def r1(one: ExpectedFrame, fine: ExpectedFrame) -> float:
    """Over the reflections near their Bragg condition."""
    known = dict(zip(map(tuple, fine.hkl.tolist()), fine.intensity_e, strict=True))
    reference = np.sqrt([known.get(tuple(h), 0.0) for h in one.hkl.tolist()])
    met = np.abs(one.excitation_error) < np.linalg.norm(one.g_lab, axis=1) * np.sin(np.radians(1.0))
    return float(np.abs(np.sqrt(one.intensity_e) - reference)[met].sum() / reference[met].sum())


@pytest.fixture(scope="module")
def fine() -> ExpectedFrame:
    return frame(replace(ENGINE, s_max_per_angstrom=0.1, far_s_max_per_angstrom=0.3))


def test_chosen_cut_off_is_converged(fine: ExpectedFrame) -> None:
    chosen = frame(ENGINE)
    assert chosen.s_max_per_angstrom in LADDER[:4]
    assert 0.0 < chosen.truncation_r1 <= 0.01
    assert r1(chosen, fine) <= 0.01


def test_far_beams_make_a_cut_off_better(fine: ExpectedFrame) -> None:
    with_far = frame(replace(ENGINE, s_max_per_angstrom=0.02))
    without = frame(replace(ENGINE, s_max_per_angstrom=0.02, far_s_max_per_angstrom=0.0))
    assert r1(with_far, fine) < 0.6 * r1(without, fine)
    assert np.isnan(with_far.truncation_r1)


def test_cut_off_is_that_of_the_series() -> None:
    both = {series_cut_off(truth=WORLD, pose=pose, engine=ENGINE) for pose in WORLD.poses}
    assert len(both) == 1


def test_ladder_is_climbed_until_the_change_is_small() -> None:
    def solve(s_max: float) -> tuple[Ints, Floats]:
        return np.array([[1, 0, 0]]), np.array([(1.0 + 2e-4 / s_max) ** 2])

    found = rising_cut_off(solve)
    assert found.s_max_per_angstrom == 0.015
    assert found.r1 == pytest.approx(2e-4 / 0.015 - 2e-4 / 0.03, rel=0.02)
    tighter = rising_cut_off(solve, tolerance_r1=0.003)
    assert tighter.s_max_per_angstrom == 0.045
    assert tighter.r1 <= 0.003


def test_polyhedron_scatters_like_its_volume() -> None:
    """Kinematical spots of a polyhedron and of the sphere of equal volume hold about the same electrons in all."""
    faces = [((1, 0, 0), 1.0), ((1, 1, 1), 1.1), ((0, 0, 1), 1.0), ((0, 1, 0), 1.0)]
    half_spaces = wulff_half_spaces(faces=faces, cell=CRYSTAL.cell, hall=CRYSTAL.hall, diameter_nm=6.0)
    engine = Engine(kind="kinematical", g_max_per_angstrom=1.0)
    totals = []
    for body in (
        polyhedron(half_spaces=half_spaces, mounting=MOUNTING),
        Particle(shape="sphere", size_nm=(6.0, 6.0, 6.0), mounting=MOUNTING),
    ):
        totals.append(frame(engine, world=replace(WORLD, particle=body)).intensity_e.sum())
    assert totals[0] == pytest.approx(totals[1], rel=0.1)
