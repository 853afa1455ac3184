"""Intensities of a frame and their derivatives."""

from __future__ import annotations

import numpy as np
import pytest

from pipeline.refinement.engine import FrameEngine
from pipeline.refinement.frames import exposure_directions, select_frames
from pipeline.refinement.parameters import parametrise
from pipeline.refinement.potential import fill_table, matrix_index, plan_table
from pipeline.refinement.scan import averaging_matrix
from pipeline.refinement.settings import DynamicalSettings
from pipeline.refinement.tasks import FrameTask, turn_matrix
from pipeline.refinement.thickness import thickness_quadrature
from twin.model.crystal import Crystal
from twin.physics.lattice import rotation_matrix, tilt_axis_vector
from twin.physics.structure_factors import potential_coefficients

EXACT = DynamicalSettings(
    g_max_per_angstrom=0.8,
    steps=12,
    s_g_max_per_angstrom=0.02,
    single_precision=False,
    thickness_nm=20.0,
    minimum_reflections_per_frame=4,
)


def _frame(model: Crystal, simulate, settings: DynamicalSettings, thickness: float = 200.0):  # type: ignore[no-untyped-def]
    series = simulate(model, settings=settings, thickness_angstrom=thickness, frames=1, step_deg=1.0)
    frames = select_frames(
        orientation=series.orientation, reflections=series.reflections, settings=settings, hall=model.hall
    )
    return frames[0]


@pytest.mark.parametrize("name", ["brookite", "quartz", "ito"])
def test_table_is_the_potential_of_the_crystal(name: str, crystals: dict[str, Crystal]) -> None:
    p = parametrise(crystals[name])
    plan = plan_table(parametrisation=p, energy_kev=200.0, g_max_per_angstrom=0.5)
    table, _ = fill_table(plan, parametrisation=p, values=p.start, derivatives=False)
    hkl = np.array([[0, 0, 0], [2, 0, 0], [0, 2, 0], [1, 1, 0], [1, 0, 1], [-1, 1, 0], [1, -2, 1]])
    expected = potential_coefficients(
        crystal=crystals[name], hkl=(hkl[:, None] - hkl[None]).reshape(-1, 3), energy_kev=200.0
    )
    np.testing.assert_allclose(table[matrix_index(plan, hkl)].ravel(), expected, atol=1e-13)
    assert np.isrealobj(table) == (name != "quartz")


@pytest.mark.parametrize("kinematical", [False, True])
@pytest.mark.parametrize("name", ["brookite", "quartz"])
def test_derivatives_agree_with_differences(name, kinematical, crystals, tools) -> None:  # type: ignore[no-untyped-def]
    settings = tools["replace"](EXACT, kinematical=kinematical)
    model = crystals[name]
    frame, p = _frame(model, tools["simulate"], settings), parametrise(model)
    engine = FrameEngine(parametrisation=p, settings=settings, energy_kev=200.0)

    def at(values=p.start, thickness=200.0, tilt=(0.01, -0.02)):  # type: ignore[no-untyped-def]
        return engine.evaluate(
            FrameTask(frame=frame, values=values, thickness_angstrom=thickness, tilt_deg=np.array(tilt))
        ).intensity

    full = engine.evaluate(
        FrameTask(
            frame=frame,
            values=p.start,
            thickness_angstrom=200.0,
            tilt_deg=np.array([0.01, -0.02]),
            structure=True,
            orientation=True,
            thickness=True,
        )
    )
    np.testing.assert_allclose(full.intensity, at(), rtol=1e-8, atol=1e-14)
    for i in range(len(p)):
        e = np.eye(len(p))[i] * 1e-5
        numeric = (at(values=p.start + e) - at(values=p.start - e)) / 2e-5
        np.testing.assert_allclose(full.structure[i], numeric, atol=2e-6 * np.abs(numeric).max())
    tilt = np.array([0.01, -0.02])
    for i in range(2):
        e = np.eye(2)[i] * 1e-4
        numeric = (at(tilt=tilt + e) - at(tilt=tilt - e)) / 2e-4
        # the second-order part of the turn is left out of the slope: g turns by exp(ω), not by 1 + ω
        np.testing.assert_allclose(full.orientation[i], numeric, atol=2e-3 * np.abs(numeric).max())
    numeric = (at(thickness=200.0 * np.exp(1e-4)) - at(thickness=200.0 * np.exp(-1e-4))) / 2e-4
    np.testing.assert_allclose(full.thickness, numeric, atol=1e-5 * np.abs(numeric).max())


def test_weak_interaction_is_the_limit_of_the_dynamical_one(crystals, tools) -> None:  # type: ignore[no-untyped-def]
    """With all occupancies at 1e-4 both engines give the same ratios (Klar et al. 2023)."""
    model = crystals["brookite"]
    weak = tools["replace"](model, sites=tuple(tools["replace"](s, occupancy=1e-4) for s in model.sites))
    p, frame = parametrise(weak), _frame(model, tools["simulate"], EXACT)
    task = FrameTask(frame=frame, values=p.start, thickness_angstrom=200.0, tilt_deg=np.zeros(2))
    dynamical, kinematical = (
        FrameEngine(parametrisation=p, settings=s, energy_kev=200.0).evaluate(task).intensity
        for s in (EXACT, tools["replace"](EXACT, kinematical=True))
    )
    strong = kinematical > 1e-3 * kinematical.max()
    np.testing.assert_allclose(dynamical[strong], kinematical[strong], rtol=2e-3)


def test_turns_are_rotations() -> None:
    np.testing.assert_allclose(
        turn_matrix(np.array([0.3, -0.4])), rotation_matrix(axis=[0.3, -0.4, 0.0], angle_deg=0.5), atol=1e-14
    )


def test_rotating_the_crystal_is_rotating_the_beam_back() -> None:
    directions = exposure_directions(mode="continuous", semi_angle_deg=0.5, steps=4, tilt_axis_deg=25.0)
    turn = rotation_matrix(axis=tilt_axis_vector(25.0), angle_deg=0.375)
    np.testing.assert_allclose(directions[3], turn.T @ [0, 0, 1], atol=1e-14)
    np.testing.assert_allclose(np.linalg.norm(directions, axis=1), 1.0)


@pytest.mark.parametrize(("model", "mean", "mean_square"), [
    ("slab", 1.0, 1.0), ("wedge", 1 / 2, 1 / 3), ("sphere", 2 / 3, 1 / 2), ("cylinder", np.pi / 4, 2 / 3),
])  # fmt: skip
def test_thickness_distributions_have_their_moments(model, mean, mean_square) -> None:  # type: ignore[no-untyped-def]
    """Chord lengths of a sphere: ⟨t⟩ = 2D/3, ⟨t²⟩ = D²/2; of a cylinder across: πD/4 and 2D²/3."""
    u, w = thickness_quadrature(model=model, nodes=24)
    assert w.sum() == pytest.approx(1.0)
    assert (w * u).sum() == pytest.approx(mean, rel=1e-4)
    assert (w * u**2).sum() == pytest.approx(mean_square, rel=1e-10)
    slabs = np.arange(1, 81) * 5.0
    average = averaging_matrix(model=model, slabs_angstrom=slabs, thicknesses_angstrom=np.array([200.0, 400.0]))
    np.testing.assert_allclose(average @ slabs, mean * np.array([200.0, 400.0]), rtol=1e-4)
