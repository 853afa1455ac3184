"""A cell that is known is oriented on few spots, with a camera length that is off, and its symmetry is not guessed."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from pipeline.reduction.errors import ReductionError
from pipeline.reduction.known_cell import find_known_cell
from pipeline.reduction.known_series import GivenCell, symmetry_of
from pipeline.reduction.reduce import reduce_series
from twin.files.errors import InputError
from twin.model.crystal import Cell
from twin.physics.lattice import miller_indices, reciprocal_matrix
from validation import reference

BROOKITE = reference.BROOKITE.cell
CAMERA_ERROR = 0.025


def wedge(scale: float, number: int, stray: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Points of brookite's lattice within 40° of a plane, blurred, as many stray ones; and the lattice (3, 3)."""
    rng = np.random.default_rng(seed)
    ub = scale * Rotation.random(rng=rng).as_matrix() @ reciprocal_matrix(BROOKITE)
    g = miller_indices(reciprocal=ub, g_max_per_angstrom=0.9)[1:] @ ub.T
    g = g[np.abs(g[:, 2]) < np.tan(np.radians(40.0)) * np.abs(g[:, 1])]
    g = g[rng.choice(len(g), number, replace=False)] + rng.normal(size=(number, 3)) * 0.004
    away = rng.normal(size=(stray, 3))
    away *= (0.9 * rng.random(stray) ** (1 / 3) / np.linalg.norm(away, axis=1))[:, None]
    return np.concatenate([g, away]), ub


@pytest.mark.parametrize(("scale", "number", "stray"), [(0.97, 30, 30), (1.03, 30, 30), (1.0, 60, 120)])
def test_few_spots_among_stray_ones_and_a_wrong_scale(scale: float, number: int, stray: int) -> None:
    points, ub = wedge(scale, number, stray, seed=7)
    direct = np.linalg.inv(reciprocal_matrix(BROOKITE))
    found = find_known_cell(points=points, weight=np.ones(len(points)), direct=direct, g_limit=0.9)
    turned = found.direct @ ub  # whole numbers: the same lattice, up to its own rotations
    assert np.abs(turned - np.rint(turned)).max() < 0.03
    assert found.scale == pytest.approx(1.0 / scale, abs=0.004)
    assert found.indexed_fraction > found.next_fraction


def test_noise_is_not_a_crystal() -> None:
    """Of random points no orientation holds much more than another."""
    points, _ = wedge(1.0, 1, 200, seed=3)
    found = find_known_cell(
        points=points, weight=np.ones(len(points)), direct=np.linalg.inv(reciprocal_matrix(BROOKITE)), g_limit=0.9
    )
    assert found.indexed_fraction < 0.35
    assert found.indexed_fraction < 1.3 * found.next_fraction


def test_symmetry_of_cells() -> None:
    def cell(*v: float) -> Cell:
        keys = ("a_angstrom", "b_angstrom", "c_angstrom", "alpha_deg", "beta_deg", "gamma_deg")
        return Cell(**dict(zip(keys, v, strict=True)))

    wanted = {
        "cubic": cell(5, 5, 5, 90, 90, 90),
        "tetragonal": cell(5, 5, 9, 90, 90, 90),
        "hexagonal": cell(5, 5, 9, 90, 90, 120),
        "orthorhombic": cell(5, 6, 7, 90, 90, 90),
        "monoclinic": cell(5, 6, 7, 90, 105, 90),
        "triclinic": cell(5, 6, 7, 85, 105, 95),
    }
    assert [symmetry_of(GivenCell(cell=c)).system for c in wanted.values()] == list(wanted)
    assert symmetry_of(GivenCell(cell=wanted["hexagonal"], centring="R")).system == "rhombohedral"
    with pytest.raises(InputError, match="b unique"):
        symmetry_of(GivenCell(cell=cell(5, 6, 7, 105, 90, 90)))


@pytest.fixture(scope="module")
def weak(synthetic):
    """Brookite, some ten spots a frame, an ellipse and a camera length that is off; b and c differ by 6 %."""
    return synthetic.make_series(
        crystal=synthetic.BROOKITE, frames=30, diameter_angstrom=150.0, size_px=320, per_px=0.0115, seed=12, g_max=1.5,
        strong_counts=300, background=2.0, camera_error=CAMERA_ERROR, axis_error_deg=1.0, jitter_deg=0.02,
    )  # fmt: skip


def test_weak_series_with_a_known_cell(weak) -> None:
    reduced = reduce_series(dataset=weak.dataset, known=GivenCell(cell=BROOKITE))
    o = reduced.orientation
    assert o.centring == "P"
    assert reduced.merged.hall == "-P 2 2"
    assert o.indexed_peaks_fraction > 0.95
    turned = np.linalg.solve(weak.ub, o.ub)
    assert np.abs(turned - np.diag(np.sign(np.diag(turned)))).max() < 0.06  # the setting that was given
    found, true = np.array(o.cell.parameters[:3]), np.array(BROOKITE.parameters[:3])
    assert np.ptp(found / true) < 1e-6  # the shape is believed
    assert np.mean(found / true) == pytest.approx(1.0 / (1.0 + CAMERA_ERROR), abs=0.003)
    optics = o.microscope.projection
    assert optics.ellipse_percent == pytest.approx(0.5, abs=0.15)  # so that the ellipse can be told from it
    assert reduced.tilt_deg.std() < 0.04  # 0.02 put in


def test_intensities_forbid_axes_that_an_ellipse_would_make_equal(weak) -> None:
    """Without the cell the spots alone look tetragonal with an ellipse of 3 %; the intensities are orthorhombic."""
    o = reduce_series(dataset=weak.dataset).orientation
    lengths = np.sort(o.cell.parameters[:3])
    true = np.sort(BROOKITE.parameters[:3])
    assert lengths[1] / lengths[0] == pytest.approx(true[1] / true[0], rel=0.012)
    assert o.microscope.projection.ellipse_percent < 1.5  # 0.5 put in


@pytest.mark.slow
def test_another_crystal_is_refused(weak) -> None:
    wrong = Cell(a_angstrom=14.3, b_angstrom=16.1, c_angstrom=3.3, alpha_deg=90, beta_deg=97, gamma_deg=90)
    with pytest.raises(ReductionError, match="known cell"):
        reduce_series(dataset=weak.dataset, known=GivenCell(cell=wrong))
