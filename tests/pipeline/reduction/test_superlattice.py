"""Intensity between the spots: a lattice that the strong reflections alone show, and one that is whole."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from pipeline.reduction.cell import reduce_basis
from pipeline.reduction.geometry import Geometry
from pipeline.reduction.series import sweep_of
from pipeline.reduction.superlattice.positions import classes, generated, rational_positions
from pipeline.reduction.superlattice.search import find_superlattice
from pipeline.types import Peaks

FLUORITE = np.array([[0, 1, 1], [1, 0, 1], [1, 1, 0]]) / 4.0  # of In2O3's cubic axes: the strong reflections' lattice
BODY = np.array([[-1, 1, 1], [1, -1, 1], [1, 1, -1]]) / 2.0


@pytest.fixture(scope="module")
def bixbyite(synthetic):
    return synthetic.make_series(
        crystal=synthetic.ITO, frames=50, step_deg=1.0, mode="continuous", diameter_angstrom=350.0, size_px=320,
        per_px=0.0115, strong_counts=800.0, background=2.0, hits=1, jitter_deg=1e-6, drift_px=0.0, camera_error=0.0,
        ellipse_percent=0.0, axis_error_deg=0.0, g_max=1.3, seed=3,
    )  # fmt: skip


def _search(made, direct):
    d = made.dataset
    geometry = Geometry(
        ub=np.linalg.inv(direct),
        centre_px=made.centre_px,
        turn=np.tile(np.eye(3), (len(d.counts), 1, 1)),
        alpha_deg=d.alpha_mid_deg,
        microscope=made.microscope,
    )
    sweep = sweep_of(d, made.microscope.projection.tilt_axis_deg)
    strong = np.full(5, 300.0)
    peaks = Peaks(frame=np.arange(5), fast_px=strong, slow_px=strong, intensity=strong, sigma=strong)
    return find_superlattice(
        dataset=d, geometry=geometry, sweep=sweep, gain=1.0, g_max_per_angstrom=1.0, beam_radius_px=6.0, peaks=peaks
    )


def test_bixbyite_is_found_between_the_spots_of_fluorite(bixbyite) -> None:
    cubic = np.linalg.inv(bixbyite.ub)
    found = _search(bixbyite, FLUORITE @ cubic)
    assert found.index == 16
    assert abs(1 / np.linalg.det(found.ub)) == pytest.approx(abs(np.linalg.det(BODY @ cubic)), rel=1e-9)
    inside = (BODY @ cubic) @ found.ub  # both are bases of the same lattice
    assert np.allclose(inside, np.rint(inside), atol=1e-9)


def test_a_whole_lattice_stays_as_it_is(bixbyite) -> None:
    found = _search(bixbyite, BODY @ np.linalg.inv(bixbyite.ub))
    assert found.index == 1
    assert found.faintest < 0.3
    assert "none" in found.sentence


def test_noise_between_the_spots_is_not_a_lattice(bixbyite) -> None:
    rng = np.random.default_rng(8)
    blank = replace(bixbyite.dataset, counts=rng.poisson(2.0, bixbyite.dataset.counts.shape).astype(np.uint32))
    assert _search(replace(bixbyite, dataset=blank), FLUORITE @ np.linalg.inv(bixbyite.ub)).index == 1


def test_positions_are_those_of_all_small_supercells() -> None:
    assert len(rational_positions(2)) == 7
    assert len(rational_positions(3)) == 7 + 13
    positions = rational_positions()
    assert np.all((positions >= 0) & (positions < 1))
    assert len(np.unique(np.rint(positions * 60), axis=0)) == len(positions)


def test_generated_lattice() -> None:
    half, third = np.array([[30, 30, 0]]), np.array([[20, 0, 0]])
    assert abs(round(np.linalg.det(generated(half, 60)))) == 60**3 // 2
    both = generated(np.concatenate([half, third]), 60)
    assert abs(round(np.linalg.det(both))) == 60**3 // 6
    coefficients = np.concatenate([half, third, 60 * np.eye(3, dtype=int)]) @ np.linalg.inv(both)
    assert np.allclose(coefficients, np.rint(coefficients), atol=1e-9)


def test_classes_join_what_a_found_position_makes_equal() -> None:
    offsets = np.array([[0, 0, 0], [0.5, 0.5, 0], [0.5, 0, 0], [0, 0.5, 0], [0, 0, 0.5], [0.5, 0.5, 0.5]])
    number, size = classes(offsets, generated(np.array([[30, 30, 0]]), 60))
    assert number[0] == number[1] == 0
    assert number[2] == number[3] != number[4] == number[5]
    assert size.tolist() == [2, 2, 2]


def test_basis_of_the_finer_lattice_is_reduced_to_the_cell(bixbyite) -> None:
    direct = reduce_basis(BODY @ np.linalg.inv(bixbyite.ub))
    assert np.linalg.norm(direct, axis=1) == pytest.approx(10.1269 * np.sqrt(3) / 2, rel=1e-6)
