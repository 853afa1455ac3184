"""Series with a known truth: what photon noise leaves, a lens that is not the model, and derivatives of the truth."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from twin.physics.lattice import rotation_matrix
from validation.reduction.bound import _intensity_rows, _position_rows, least_median_error_deg, turn_covariances_deg2
from validation.reduction.conditions import HARD, IDEAL
from validation.reduction.frames import draw_scene, exposure, make_known, positions
from validation.reduction.information import SEEN_SIGMA2_PX2, amplitude_information, position_information
from validation.reduction.lens import RADIUS_PX, Lens, seen_at

AREA = 4.0 * np.pi * SEEN_SIGMA2_PX2  # px² of background that disturb a weak spot
ELECTRONS = np.geomspace(1e-3, 1e6, 40)
LEVEL = np.full(40, 2.0)


def test_strong_spots_are_known_to_the_root_of_their_counts() -> None:
    strong, dark = np.array([1e6]), np.array([1e-3])
    assert 1.0 / amplitude_information(strong, dark) == pytest.approx(strong, rel=1e-3)
    assert position_information(strong, dark) == pytest.approx(strong / SEEN_SIGMA2_PX2, rel=1e-3)


def test_weak_spots_are_known_by_their_background() -> None:
    weak, level = np.array([1e-3]), np.array([5.0])
    assert 1.0 / amplitude_information(weak, level) == pytest.approx(AREA * level, rel=1e-3)
    assert position_information(weak, level) == pytest.approx(weak**2 / (2 * AREA * SEEN_SIGMA2_PX2 * level), rel=1e-3)


def test_between_them_less_is_known_than_the_sum_of_both_variances_says() -> None:
    variance = 1.0 / amplitude_information(ELECTRONS, LEVEL)
    simple = ELECTRONS + AREA * LEVEL
    assert np.all(variance >= simple * (1 - 1e-3))
    assert np.max(variance / simple) > 1.03


def test_no_unbiased_fit_of_drawn_pixels_does_better() -> None:
    """Weighted least squares with the true weights reaches the bound."""
    window = np.arange(-6, 7)
    shape = np.exp(-0.5 * (window[:, None] ** 2 + window[None, :] ** 2) / SEEN_SIGMA2_PX2)
    shape /= shape.sum()
    expected = 50.0 * shape + 2.0
    drawn = np.random.default_rng(2).poisson(expected, size=(20000, 13, 13))
    weight = shape / expected
    fitted = np.sum((drawn - 2.0) * weight, axis=(1, 2)) / np.sum(shape * weight)
    bound = 1.0 / amplitude_information(np.array([50.0]), np.array([2.0]))[0]
    assert np.var(fitted) == pytest.approx(bound, rel=0.03)
    assert np.mean(fitted) == pytest.approx(50.0, rel=0.01)


def test_lens_leaves_the_direct_beam_and_has_its_amplitudes_at_the_radius() -> None:
    centre = np.array([250.0, 260.0])
    point = centre + np.array([[RADIUS_PX, 0.0]])
    far = Lens(axis_px=(44.0, 37.0), barrel_percent=1.5, spiral_percent=-1.0, trefoil_percent=0.15)
    assert np.allclose(seen_at(centre[None], centre, far), centre, atol=1e-9)
    barrel = seen_at(point, centre, Lens(barrel_percent=1.5))[0] - point[0]
    assert barrel == pytest.approx([0.015 * RADIUS_PX, 0.0], rel=0.02)
    spiral = seen_at(point, centre, Lens(spiral_percent=-1.0))[0] - point[0]
    assert spiral[1] == pytest.approx(-0.01 * RADIUS_PX, rel=1e-3)
    trefoil = seen_at(point, centre, Lens(trefoil_percent=0.5))[0] - point[0]
    assert trefoil == pytest.approx([0.005 * RADIUS_PX, 0.0])


def test_a_lens_beside_the_beam_bends_both_sides_differently() -> None:
    centre, lens = np.zeros(2), Lens(axis_px=(60.0, 0.0), barrel_percent=1.5)
    two = np.array([[200.0, 0.0], [-200.0, 0.0]])
    moved = seen_at(two, centre, lens) - two
    even = 0.5 * (moved[0, 0] + moved[1, 0])
    third = -3.0 * 0.015 * 60.0 * 200.0**2 / RADIUS_PX**2  # of the law r³
    assert even == pytest.approx(third, rel=0.1)


@pytest.fixture(scope="module")
def scene():
    return draw_scene(replace(HARD, frames=6, seed=21), np.random.default_rng(21))


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_derivatives_of_electrons_and_positions(scene, axis) -> None:
    step_deg = 1e-5
    moved = scene.rotation.copy()
    moved[2] = rotation_matrix(axis=np.eye(3)[axis], angle_deg=step_deg) @ moved[2]
    turned = replace(scene, rotation=moved)
    here, there = exposure(scene, 2), exposure(turned, 2)
    near = np.flatnonzero(here.electrons > 1.0)
    angle = np.radians(step_deg)
    slope = (there.electrons - here.electrons)[near] / angle
    rows = _intensity_rows(here, near)[:, 2 + axis]
    g_length = np.linalg.norm(here.g[near], axis=1)  # the lever arm, which the rows hold fixed, changes by so much
    lever_effect = 1.1 * here.electrons[near] * g_length / here.lever[near]
    assert np.all(np.abs(rows - slope) < 0.01 * np.abs(slope) + lever_effect)
    shift = (positions(turned, 2, there.g[near]) - positions(scene, 2, here.g[near])) / angle
    moves = _position_rows(scene, here.g[near])[:, :, 2 + axis]
    assert np.allclose(moves, shift, rtol=0.01, atol=0.01 * np.abs(shift).max())


def test_more_counts_leave_less_to_guess(scene) -> None:
    brighter = replace(scene, conditions=replace(scene.conditions, strong_counts=4 * scene.conditions.strong_counts))
    assert np.all(np.linalg.eigvalsh(turn_covariances_deg2(scene) - turn_covariances_deg2(brighter)) > 0)
    assert least_median_error_deg(brighter) < least_median_error_deg(scene) < HARD.jitter_deg * 2


def test_frames_hold_the_electrons_of_the_scene() -> None:
    known = make_known(replace(IDEAL, frames=3, seed=9))
    scene, counts = known.scene, known.dataset.counts
    assert counts.shape == (3, 512, 512)
    e = exposure(scene, 1)
    xy = positions(scene, 1, e.g)
    inside = np.all((xy > 40) & (xy < 470), axis=1) & (np.linalg.norm(e.g, axis=1) > 0.3)
    n = int(np.argmax(np.where(inside, e.electrons, 0.0)))
    x, y = np.rint(xy[n]).astype(int)
    near = np.flatnonzero(np.all(np.abs(xy - xy[n]) < 6, axis=1))
    expected = e.electrons[near].sum()
    box = counts[1, y - 6 : y + 7, x - 6 : x + 7].sum()
    assert box == pytest.approx(expected, abs=6 * np.sqrt(expected + 169 * 2) + 169 * 2)
