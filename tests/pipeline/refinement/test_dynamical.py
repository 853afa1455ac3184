"""Refinement against frames made by the same engine, and by a richer one."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from pipeline.refinement import dynamical
from pipeline.refinement.dynamical import refine_dynamical
from pipeline.refinement.frames import FrameData
from pipeline.refinement.problem import Problem, State
from pipeline.refinement.settings import DynamicalSettings
from pipeline.refinement.start import look_again, moved_into_frames
from twin.model.crystal import Crystal
from twin.physics.lattice import direct_matrix

SMALL = DynamicalSettings(g_max_per_angstrom=1.1, steps=28, s_g_max_per_angstrom=0.02, thickness_scan_nm=(3.0, 30.0))


def distances_angstrom(found: Crystal, truth: Crystal) -> np.ndarray:
    difference = np.array([np.subtract(a.fract, b.fract) for a, b in zip(found.sites, truth.sites, strict=True)])
    return np.linalg.norm(difference @ direct_matrix(truth.cell).T, axis=1)


def turn_errors_deg(found: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Error of the direction of the beam in the crystal, (frames,)."""
    z = np.einsum("fij,fkj->fik", found, truth)[:, :, 2]
    return np.degrees(np.arccos(np.clip(z[:, 2], -1, 1)))


def test_exact_data_return_the_truth(crystals, tools) -> None:  # type: ignore[no-untyped-def]
    """Structure to 1e-5 Å, thickness and orientations, from 0.04 Å away, orientations off and thickness unknown."""
    model = crystals["brookite"]
    series = tools["simulate"](model, settings=SMALL, thickness_angstrom=120.0, frames=6, step_deg=12.0)
    result = refine_dynamical(
        model=tools["displaced"](model, by_angstrom=0.04), orientation=series.orientation,
        reflections=series.reflections, settings=SMALL,
    )  # fmt: skip
    assert distances_angstrom(result.crystal, model).max() < 1e-5
    np.testing.assert_allclose(
        [s.u_iso_angstrom2 for s in result.crystal.sites], [s.u_iso_angstrom2 for s in model.sites], atol=1e-5
    )
    assert result.thickness_nm == pytest.approx(12.0, rel=1e-4)
    assert result.r_all_percent < 0.01
    assert result.rotation is not None
    assert turn_errors_deg(result.rotation, series.true_rotation).max() < 1e-3
    assert turn_errors_deg(series.orientation.rotation, series.true_rotation).max() > 0.02
    assert result.parameters == 12 + 1 + 6 * 3
    assert "converged" in result.verdict


def test_the_last_look_asks_all_beams_only_where_a_draft_sees_something(  # type: ignore[no-untyped-def]
    crystals, tools, monkeypatch
) -> None:
    """Frames are held, so that none turns far: drafts look twice, and all beams only after a draft saw something."""
    model = crystals["brookite"]
    settings = replace(SMALL, refine_orientations=False)
    series = tools["simulate"](model, settings=settings, thickness_angstrom=120.0, frames=4, step_deg=12.0, noise=0.03)
    looked: list[bool] = []

    def look(problem: Problem, state: State, *, nominal: tuple[FrameData, ...]) -> State | None:
        looked.append(problem.few_beams)
        return look_again(problem, state, nominal=nominal)

    def suspicious(problem: Problem, state: State, *, nominal: tuple[FrameData, ...]) -> State | None:
        looked.append(problem.few_beams)
        return moved_into_frames(problem.layout, state) if problem.few_beams else None

    for replaced, expected in ((look, [True, True]), (suspicious, [True, True, False])):
        looked.clear()
        monkeypatch.setattr(dynamical, "look_again", replaced)
        refine_dynamical(
            model=model, orientation=series.orientation, reflections=series.reflections, settings=settings
        )
        assert looked == expected


def test_two_processes_give_the_same_bits(crystals, tools) -> None:  # type: ignore[no-untyped-def]
    model = crystals["mgti2o5"]
    series = tools["simulate"](model, settings=SMALL, thickness_angstrom=90.0, frames=4, step_deg=15.0, noise=0.03)
    one, two = (
        refine_dynamical(
            model=tools["displaced"](model, by_angstrom=0.02), orientation=series.orientation,
            reflections=series.reflections, settings=replace(SMALL, max_cycles=2), workers=workers,
        )
        for workers in (1, 2)
    )  # fmt: skip
    assert one.crystal == two.crystal
    np.testing.assert_array_equal(one.f_calc, two.f_calc)


def test_dynamical_data_are_fitted_better_dynamically(crystals, tools) -> None:  # type: ignore[no-untyped-def]
    """20 nm of brookite with 3 % noise: the kinematical refinement of the same frames is worse by more than half."""
    model = crystals["brookite"]
    series = tools["simulate"](
        model, settings=replace(SMALL, s_g_max_per_angstrom=0.03), thickness_angstrom=200.0, frames=8, step_deg=9.0,
        noise=0.03,
    )  # fmt: skip
    dynamical, kinematical = (
        refine_dynamical(
            model=tools["displaced"](model, by_angstrom=0.02), orientation=series.orientation,
            reflections=series.reflections, settings=replace(SMALL, kinematical=weak),
        )
        for weak in (False, True)
    )  # fmt: skip
    assert kinematical.kind == "kinematical_frame_based"
    assert dynamical.reflections_all == kinematical.reflections_all
    assert kinematical.r_obs_percent > 1.5 * dynamical.r_obs_percent
    assert distances_angstrom(dynamical.crystal, model).mean() < 0.006
    assert distances_angstrom(dynamical.crystal, model).mean() < distances_angstrom(kinematical.crystal, model).mean()


def test_frames_of_the_weak_limit_are_fitted_in_the_weak_limit(crystals, tools) -> None:  # type: ignore[no-untyped-def]
    """Frame-based kinematical refinement of kinematical frames: R is the noise, thickness comes from the profiles."""
    model = crystals["brookite"]
    weak = replace(SMALL, kinematical=True)
    series = tools["simulate"](model, settings=weak, thickness_angstrom=200.0, frames=6, step_deg=12.0, noise=0.03)
    found = refine_dynamical(
        model=tools["displaced"](model, by_angstrom=0.02), orientation=series.orientation,
        reflections=series.reflections, settings=weak,
    )  # fmt: skip
    assert found.r_obs_percent < 3.0
    assert found.thickness_nm == pytest.approx(20.0, rel=0.1)
    assert distances_angstrom(found.crystal, model).max() < 0.02


def test_continuous_rotation(crystals, tools) -> None:  # type: ignore[no-untyped-def]
    model, settings = crystals["quartz"], replace(SMALL, mode="continuous", thickness_model="wedge")
    series = tools["simulate"](
        model, settings=settings, thickness_angstrom=150.0, frames=8, step_deg=8.0, semi_angle_deg=2.5
    )
    result = refine_dynamical(
        model=tools["displaced"](model, by_angstrom=0.02), orientation=series.orientation,
        reflections=series.reflections, settings=settings,
    )  # fmt: skip
    assert distances_angstrom(result.crystal, model).max() < 1e-4
    assert result.thickness_nm == pytest.approx(15.0, rel=1e-3)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"g_max_per_angstrom": float("nan")}, "g_max_per_angstrom is nan"),
        ({"steps": 0}, "steps is 0"),
        ({"thickness_scan_nm": (20.0, 10.0)}, "thickness_scan_nm"),
        ({"instability": -1.0}, "instability"),
    ],
)
def test_absurd_settings_are_refused(change: dict[str, object], sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        replace(SMALL, **change)  # type: ignore[arg-type]


def test_data_that_cannot_support_it_are_refused(crystals, tools) -> None:  # type: ignore[no-untyped-def]
    model = crystals["brookite"]
    series = tools["simulate"](model, settings=SMALL, thickness_angstrom=100.0, frames=1, step_deg=1.0)
    arguments = {"orientation": series.orientation, "reflections": series.reflections}
    with pytest.raises(ValueError, match="reflections on 1 frames cannot determine"):
        refine_dynamical(model=model, settings=replace(SMALL, anisotropic=True), **arguments)
    with pytest.raises(ValueError, match="no frame has enough"):
        refine_dynamical(model=model, settings=replace(SMALL, minimum_reflections_per_frame=1000), **arguments)
    with pytest.raises(ValueError, match="does not match the data: a is"):
        refine_dynamical(
            model=model, settings=SMALL, reflections=series.reflections,
            orientation=replace(series.orientation, cell=crystals["ito"].cell),
        )  # fmt: skip


@pytest.mark.parametrize(("forward_is_weak", "strength"), [(True, 0.0), (False, 1.0)])
def test_the_data_say_how_much_multiple_scattering_they_hold(  # type: ignore[no-untyped-def]
    crystals, tools, forward_is_weak: bool, strength: float
) -> None:
    """One factor on all U_g beside free scales: zero for kinematical frames (the gap vanishes), one for others."""
    model = crystals["brookite"]
    series = tools["simulate"](
        model, settings=replace(SMALL, kinematical=forward_is_weak), thickness_angstrom=200.0, frames=6, step_deg=12.0,
        noise=0.02,
    )  # fmt: skip
    free, kinematical = (
        refine_dynamical(
            model=tools["displaced"](model, by_angstrom=0.02), orientation=series.orientation,
            reflections=series.reflections, settings=settings,
        )
        for settings in (replace(SMALL, occupancy="common"), replace(SMALL, kinematical=True))
    )  # fmt: skip
    assert free.crystal.sites[0].occupancy == pytest.approx(strength, abs=0.08)
    gap = kinematical.r_obs_percent - free.r_obs_percent
    assert abs(gap) < 0.5 if forward_is_weak else gap > 3.0


def test_the_end_does_not_depend_on_where_one_starts(crystals, tools) -> None:  # type: ignore[no-untyped-def]
    """With noise there is a residual, and one minimum: coordinates agree to a fifth of their s.u."""
    model = crystals["anatase"]
    series = tools["simulate"](model, settings=SMALL, thickness_angstrom=150.0, frames=6, step_deg=12.0, noise=0.05)
    found = [
        refine_dynamical(
            model=tools["displaced"](model, by_angstrom=moved), orientation=series.orientation,
            reflections=series.reflections, settings=SMALL,
        )
        for moved in (0.0, 0.05)
    ]  # fmt: skip
    uncertainty = found[0].standard_uncertainties["O1.z"]
    assert uncertainty < 0.001
    assert abs(found[0].crystal.sites[1].fract[2] - found[1].crystal.sites[1].fract[2]) < 0.2 * uncertainty
    assert found[0].wr_all_percent == pytest.approx(found[1].wr_all_percent, rel=2e-3)
