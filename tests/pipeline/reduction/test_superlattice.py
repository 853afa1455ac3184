"""Intensity between the spots: a lattice that the strong reflections alone show, and one that is whole."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from pipeline.reduction.cell import reduce_basis
from pipeline.reduction.geometry import Geometry
from pipeline.reduction.series import sweep_of
from pipeline.reduction.superlattice import search
from pipeline.reduction.superlattice.positions import classes, generated, rational_positions
from pipeline.reduction.superlattice.search import find_superlattice
from pipeline.types import Peaks
from twin.physics.lattice import tilt_axis_vector
from twin.physics.symmetry import orbit

FLUORITE = np.array([[0, 1, 1], [1, 0, 1], [1, 1, 0]]) / 4.0  # of In2O3's cubic axes: the strong reflections' lattice
BODY = np.array([[-1, 1, 1], [1, -1, 1], [1, 1, -1]]) / 2.0


@pytest.fixture(scope="module")
def bixbyite(synthetic):
    return synthetic.make_series(
        crystal=synthetic.ITO, frames=50, step_deg=1.0, mode="continuous", diameter_angstrom=350.0, size_px=320,
        per_px=0.0115, strong_counts=800.0, background=2.0, hits=1, jitter_deg=1e-6, drift_px=0.0, camera_error=0.0,
        ellipse_percent=0.0, axis_error_deg=0.0, g_max=1.3, seed=3,
    )  # fmt: skip


@pytest.fixture(scope="module")
def tailed(synthetic):
    """Brookite with b* 0.3° from the tilt axis, so that all spots of a row along b* leave the Ewald sphere together:
    their tails, drawn to 0.06 Å⁻¹, lie at the same fraction of a cell, row by row. The second series has b doubled by
    titanium atoms that lie 0.1 Å higher and lower in every other cell."""
    axis = tilt_axis_vector(32.0)
    frame = np.stack([np.cross(axis, [0.0, 0.0, 1.0]), axis, [0.0, 0.0, 1.0]], axis=1)
    turns = Rotation.from_rotvec([0.0, 0.0, 0.3], degrees=True) * Rotation.from_rotvec(75.0 * axis, degrees=True)
    return [
        synthetic.make_series(
            crystal=crystal, step_deg=2.0, precession_deg=1.0, diameter_angstrom=300.0, size_px=320, per_px=0.0115,
            strong_counts=2500.0, background=2.0, hits=1, jitter_deg=1e-6, drift_px=0.0, camera_error=0.0,
            ellipse_percent=0.0, axis_error_deg=0.0, g_max=1.3, tail_per_angstrom=0.06,
            mounting=turns.as_matrix() @ frame,
        )
        for crystal in (synthetic.BROOKITE, _doubled(synthetic.BROOKITE, shift_angstrom=0.1))
    ]  # fmt: skip


def _doubled(crystal, *, shift_angstrom):
    """Two cells along b, in P1; the metal atoms of one are moved along c by the shift, of the other by its opposite."""
    shift = {"Ti": shift_angstrom / crystal.cell.c_angstrom, "O": 0.0}
    sites = [
        replace(
            site, label=f"{site.label}.{number}.{k}",
            fract=(x, (y + k) / 2.0, z + (2 * k - 1) * shift[site.element]),
        )
        for site in crystal.sites for number, (x, y, z) in enumerate(orbit(site.fract, crystal.hall).tolist())
        for k in (0, 1)
    ]  # fmt: skip
    cell = replace(crystal.cell, b_angstrom=2.0 * crystal.cell.b_angstrom)
    return replace(crystal, cell=cell, hall="P 1", sites=tuple(sites))


def _search(made, direct, *, strong_counts=300.0):
    d = made.dataset
    geometry = Geometry(
        ub=np.linalg.inv(direct),
        centre_px=made.centre_px,
        turn=np.tile(np.eye(3), (len(d.counts), 1, 1)),
        alpha_deg=d.alpha_mid_deg,
        microscope=made.microscope,
    )
    sweep = sweep_of(d, made.microscope.projection.tilt_axis_deg)
    strong = np.full(5, strong_counts)
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


def test_tails_of_strong_spots_are_not_a_lattice(tailed, monkeypatch) -> None:
    """An axis came out five times too long of them, while only places near to a spot were left out."""
    direct = np.linalg.inv(tailed[0].ub)
    assert _search(tailed[0], direct, strong_counts=1250.0).index == 1
    monkeypatch.setattr(search, "LONGEST_TAIL_PER_ANGSTROM", search.TAIL_PER_ANGSTROM)
    assert _search(tailed[0], direct, strong_counts=1250.0).index == 5  # these frames do have such tails


def test_a_weak_superlattice_is_found_beside_tails(tailed) -> None:
    """Its spots have a twentieth of the mean intensity; what is found is the doubled axis and nothing else."""
    made = tailed[1]
    intensity, odd = np.array(list(made.intensity.values())), np.array(list(made.intensity))[:, 1] % 2 == 1
    assert 0.03 < intensity[odd].mean() / intensity[~odd].mean() < 0.07
    spots_alone = np.diag([1.0, 0.5, 1.0]) @ np.linalg.inv(made.ub)
    found = _search(made, spots_alone, strong_counts=1250.0)
    assert found.index == 2
    np.testing.assert_allclose(np.linalg.inv(found.ub), np.linalg.inv(made.ub), rtol=0, atol=1e-9)


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
