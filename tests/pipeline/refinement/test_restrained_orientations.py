"""Frames are held back by what is known of their orientation, and not by more."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from pipeline.refinement.engine import FrameEngine
from pipeline.refinement.frames import FrameData, exposure_directions
from pipeline.refinement.parameters import parametrise
from pipeline.refinement.pool import FrameMap
from pipeline.refinement.problem import Layout, Problem, state_at
from pipeline.refinement.scan import optimise_orientations, turned_frame
from pipeline.refinement.settings import DynamicalSettings
from pipeline.refinement.tasks import FrameTask, turn_matrix
from pipeline.refinement.terms import FrameTerms
from twin.model.crystal import Cell, Crystal, Site
from twin.physics.lattice import reciprocal_matrix, rotation_matrix

CRYSTAL = Crystal(
    name="x", cell=Cell(a_angstrom=4.9, b_angstrom=5.1, c_angstrom=5.4), hall="-P 2 2",
    sites=(Site(label="Si1", element="Si", fract=(0.12, 0.47, 0.83), u_iso_angstrom2=0.01),),
)  # fmt: skip
SETTINGS = DynamicalSettings(
    mode="continuous", g_max_per_angstrom=1.2, steps=12, thickness_model="slab", single_precision=False,
    kinematical=True, orientation_sd_deg=0.1, restrain_orientations=True,
)  # fmt: skip
TRUE_TILT = np.array([0.15, -0.1])


def problem_of_one_frame(noise: float) -> tuple[Problem, FrameData]:
    """Data of a frame whose true orientation is ``TRUE_TILT`` from the given one."""
    p = parametrise(CRYSTAL)
    lab = rotation_matrix(axis=(0.3, 0.5, 0.8), angle_deg=37.0) @ reciprocal_matrix(CRYSTAL.cell)
    hkl = np.array(list(np.ndindex(9, 9, 9))) - 4
    g = hkl @ lab.T
    hkl = hkl[(np.abs(g[:, 2] + np.sum(g**2, axis=1) * 0.0125) < 0.01) & (np.linalg.norm(g, axis=1) < 1.1)]
    hkl = hkl[hkl.any(axis=1)]
    one = np.ones(len(hkl))
    frame = FrameData(
        index=0, hkl=hkl, intensity=one, sigma=one, weights=one, reciprocal_lab=lab, across=np.array([0.0, 1.0, 0.0]),
        directions=exposure_directions(mode="continuous", semi_angle_deg=0.7, steps=12, tilt_axis_deg=0.0),
    )  # fmt: skip
    engine = FrameEngine(parametrisation=p, settings=SETTINGS, energy_kev=200.0)
    mapped: FrameMap = lambda tasks: [engine.evaluate(t) for t in tasks]  # noqa: E731
    task = FrameTask(frame=frame, values=p.start, thickness_angstrom=300.0, tilt_deg=TRUE_TILT)
    truth = engine.evaluate(task).intensity
    intensity = truth * (1.0 + noise * np.random.default_rng(1).normal(size=len(hkl)))
    frame = replace(frame, intensity=intensity, weights=np.full(len(hkl), truth.mean() ** -2.0))
    layout = Layout(structure=len(p), thicknesses=0, tilts=1, frames=1)
    return Problem(parametrisation=p, layout=layout, settings=SETTINGS, mapped=mapped, note=lambda *a: None), frame


def test_gradient_with_the_restraint_is_that_of_differences() -> None:
    problem, frame = problem_of_one_frame(0.05)
    layout = problem.layout
    moved = turned_frame(frame, np.array([0.05, 0.02]))
    state = state_at(
        layout, frames=(moved,), values=problem.parametrisation.start, thickness_angstrom=np.array([300.0])
    )
    terms = FrameTerms(problem, state)
    start = state.point[: terms.free]
    at = terms.evaluate(start)
    for axis in range(2):
        step = np.zeros(terms.free)
        step[layout.tilt_columns(0).start + axis] = 1e-5
        slope = (terms.evaluate(start + step).total - terms.evaluate(start - step).total) / 2e-5
        assert -2.0 * at.descents[0][layout.structure + axis] == pytest.approx(slope, rel=1e-4)


def test_turns_add_up_over_calls() -> None:
    """Two calls of one cycle each know of each other through ``turned_deg``."""
    problem, frame = problem_of_one_frame(0.0)
    once, tilt, _ = optimise_orientations(
        frame_map=problem.mapped, frames=[frame], values=problem.parametrisation.start,
        thickness_angstrom=np.array([300.0]), prior_deg=0.1, cycles=3,
    )  # fmt: skip
    np.testing.assert_allclose(once[0].turned_deg, tilt[0], atol=1e-12)
    again = turned_frame(once[0], np.array([0.01, 0.0]))
    np.testing.assert_allclose(again.turned_deg, tilt[0] + (0.01, 0.0), atol=1e-12)
    np.testing.assert_allclose(again.reciprocal_lab, turn_matrix(np.array([0.01, 0.0])) @ once[0].reciprocal_lab)


def test_good_data_overrule_the_restraint_and_bad_data_do_not() -> None:
    strayed = []
    for noise in (0.0, 2.0):
        problem, frame = problem_of_one_frame(noise)
        turned, _, _ = optimise_orientations(
            frame_map=problem.mapped, frames=[frame], values=problem.parametrisation.start,
            thickness_angstrom=np.array([300.0]), prior_deg=0.1, cycles=12,
        )  # fmt: skip
        strayed.append(turned[0].turned_deg)
    np.testing.assert_allclose(strayed[0], TRUE_TILT, atol=2e-3)
    assert np.linalg.norm(strayed[1]) < 0.3
