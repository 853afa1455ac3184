"""Single steps of the reduction against what they must obey."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from pipeline.reduction.cell import find_cell, reduce_basis
from pipeline.reduction.lattice_symmetry import lattice_symmetries
from pipeline.reduction.laue import laue_evidence
from pipeline.reduction.rocking import SHAPES, Rocking, cumulative, density, exposure_average, same_fwhm, swept_fraction
from twin.model.crystal import Cell
from twin.physics.lattice import direct_matrix

CENTRINGS = {
    "P": np.eye(3),
    "I": np.array([[-0.5, 0.5, 0.5], [0.5, -0.5, 0.5], [0.5, 0.5, -0.5]]),
    "F": np.array([[0, 0.5, 0.5], [0.5, 0, 0.5], [0.5, 0.5, 0]]),
    "C": np.array([[0.5, 0.5, 0], [-0.5, 0.5, 0], [0, 0, 1]]),
    "R": np.array([[2 / 3, 1 / 3, 1 / 3], [-1 / 3, 1 / 3, 1 / 3], [-1 / 3, -2 / 3, 1 / 3]]),
}


SPHERE = Rocking(shape="sphere", width_per_angstrom=0.01)  # diameter 100 Å


def test_sphere_integrates_to_one(synthetic) -> None:
    assert cumulative("sphere", np.array([0.0]))[0] == pytest.approx(0.5)
    inner = float(np.diff(cumulative("sphere", np.array([-20.0, 20.0])))[0])
    assert inner == pytest.approx(1 - 1.5 / (np.pi**2 * 20), abs=1e-4)  # the tails fall as 3 / (4 pi^2 u^2)
    s = np.array([0.0, 0.004, 0.011])
    expected = synthetic.sphere_relrod(s=s, diameter_angstrom=100.0)
    narrow, _ = exposure_average(
        s=s, half_sweep=np.full(3, 1e-5), g_length=np.ones(3), rocking=SPHERE, mode="stills"
    )
    assert np.allclose(narrow, expected, rtol=0.01)


@pytest.mark.parametrize("shape", SHAPES)
def test_density_is_the_derivative_of_the_cumulative(shape) -> None:
    u = np.linspace(-3, 3, 41)
    rise = (cumulative(shape, u + 1e-3) - cumulative(shape, u - 1e-3)) / 2e-3
    assert np.allclose(rise, density(shape, u), rtol=0.01, atol=2e-3)


@pytest.mark.parametrize("shape", SHAPES)
def test_width_at_half_height(shape) -> None:
    rocking = same_fwhm(SPHERE, shape)
    assert rocking.fwhm_per_angstrom == pytest.approx(SPHERE.fwhm_per_angstrom)
    edge = np.array([0.0, 0.5 * rocking.fwhm_per_angstrom / rocking.width_per_angstrom])
    top, half = density(shape, edge)
    assert half == pytest.approx(0.5 * top, rel=1e-3)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("mode", ["precession", "continuous"])
def test_sweep_conserves_the_rocking_curve(mode, shape) -> None:
    """However the exposure sweeps, the integral of its average over s is that of the curve, 1; and dP/ds is right."""
    s = np.linspace(-0.4, 0.4, 16001)
    rocking = same_fwhm(SPHERE, shape)
    flat = np.full(len(s), 0.02)
    value, slope = exposure_average(s=s, half_sweep=flat, g_length=np.ones(len(s)), rocking=rocking, mode=mode)
    half = 0.5 * rocking.fwhm_per_angstrom
    held = 2.0 / np.pi * np.arctan(0.4 / half) if shape == "lorentzian" else 1.0  # the rest lies beyond the range of s
    assert np.trapezoid(value, s) == pytest.approx(held, abs=0.01)
    assert np.allclose(np.gradient(value, s), slope, atol=0.02 * np.max(np.abs(slope)))
    whole = swept_fraction(s=np.zeros(1), half_sweep=np.array([0.1]), g_length=np.ones(1), rocking=rocking)
    assert whole[0] > 0.95


def test_camel_has_two_humps() -> None:
    narrow = Rocking(shape="sphere", width_per_angstrom=0.0025)
    value, _ = exposure_average(
        s=np.array([0.0, 0.019, 0.03]),
        half_sweep=np.full(3, 0.02),
        g_length=np.ones(3),
        rocking=narrow,
        mode="precession",
    )
    assert value[1] > 1.5 * value[0] > 3 * value[2]


def test_mosaicity_widens_with_g() -> None:
    rocking = Rocking(shape="gaussian", width_per_angstrom=0.002, mosaic_deg=0.1)
    width = rocking.widths(np.array([0.0, 1.0]))
    assert width[0] == pytest.approx(0.002)
    assert width[1] == pytest.approx(np.hypot(0.002, np.radians(0.1)))


@pytest.mark.parametrize(
    ("cell", "centring", "system"),
    [
        (Cell(a_angstrom=10.13, b_angstrom=10.13, c_angstrom=10.13), "I", "cubic"),
        (Cell(a_angstrom=4.05, b_angstrom=4.05, c_angstrom=4.05), "F", "cubic"),
        (Cell(a_angstrom=3.784, b_angstrom=3.784, c_angstrom=9.515), "I", "tetragonal"),
        (Cell(a_angstrom=5.138, b_angstrom=5.449, c_angstrom=9.174), "P", "orthorhombic"),
        (Cell(a_angstrom=3.76, b_angstrom=9.8, c_angstrom=10.0), "C", "orthorhombic"),
        (Cell(a_angstrom=4.92, b_angstrom=4.92, c_angstrom=5.40, gamma_deg=120.0), "P", "hexagonal"),
        (Cell(a_angstrom=4.99, b_angstrom=4.99, c_angstrom=17.06, gamma_deg=120.0), "R", "rhombohedral"),
        (Cell(a_angstrom=5.1, b_angstrom=11.8, c_angstrom=5.46, beta_deg=112.0), "P", "monoclinic"),
        (Cell(a_angstrom=12.0, b_angstrom=7.0, c_angstrom=9.0, beta_deg=104.0), "C", "monoclinic"),
        (
            Cell(a_angstrom=7.1, b_angstrom=7.4, c_angstrom=7.6, alpha_deg=115.0, beta_deg=107.0, gamma_deg=100.5),
            "P",
            "triclinic",
        ),
    ],
)
def test_symmetry_of_known_lattices(cell, centring, system) -> None:
    basis = reduce_basis(CENTRINGS[centring] @ direct_matrix(cell).T)
    best = lattice_symmetries(direct=basis, tolerance=0.002)[0]
    assert (best.system, best.centring) == (system, centring if system != "orthorhombic" or centring == "P" else "C")
    conventional = best.transform @ basis
    assert abs(np.linalg.det(conventional)) == pytest.approx(abs(np.linalg.det(direct_matrix(cell))), rel=1e-6)
    assert best.strain < 1e-6


def test_cell_among_spurious_spots() -> None:
    rng = np.random.default_rng(5)
    true = direct_matrix(
        Cell(a_angstrom=6.1, b_angstrom=7.9, c_angstrom=11.2, alpha_deg=85.0, beta_deg=97.0, gamma_deg=103.0)
    ).T
    hkl = rng.integers(-7, 8, size=(900, 3))
    points = hkl @ np.linalg.inv(true).T @ Rotation.random(random_state=1).as_matrix().T
    points = points[np.linalg.norm(points, axis=1) < 0.9] + 0.0
    points += rng.normal(scale=0.002, size=points.shape)
    points = np.concatenate([points, rng.uniform(-0.5, 0.5, size=(len(points) // 2, 3))])
    found = find_cell(points=points, weight=np.ones(len(points)), g_limit=0.9)
    assert abs(np.linalg.det(found.direct)) == pytest.approx(abs(np.linalg.det(true)), rel=0.01)


def test_a_long_axis_along_the_beam_is_found() -> None:
    """The spots are uncertain along z and a wedge of them is missing: all sure vectors lie in one plane."""
    rng = np.random.default_rng(0)
    true = direct_matrix(Cell(a_angstrom=3.78, b_angstrom=3.78, c_angstrom=9.5)).T
    steps = np.stack(np.meshgrid(*[np.arange(-9, 10)] * 3, indexing="ij"), axis=-1).reshape(-1, 3)
    points = steps @ np.linalg.inv(true).T @ Rotation.from_euler("z", 8.0, degrees=True).as_matrix().T
    in_wedge = np.abs(points[:, 2]) < np.tan(np.radians(38.0)) * np.abs(points[:, 1])
    points = points[in_wedge & (np.linalg.norm(points, axis=1) < 1.0)]
    points = np.repeat(points, 2, axis=0)
    points = points + rng.normal(size=points.shape) * np.array([0.002, 0.002, 0.02])
    found = find_cell(points=points, weight=np.ones(len(points)), g_limit=1.0)
    assert abs(np.linalg.det(found.direct)) == pytest.approx(abs(np.linalg.det(true)), rel=0.03)


def test_laue_class_tells_m3_from_m3m(synthetic) -> None:
    from twin.physics.lattice import miller_indices, reciprocal_matrix
    from twin.physics.structure_factors import structure_factors

    hkl = miller_indices(reciprocal=reciprocal_matrix(synthetic.ITO.cell), g_max_per_angstrom=0.8)[1:]
    f2 = np.abs(structure_factors(crystal=synthetic.ITO, hkl=hkl)) ** 2
    keep = f2 > 1e-6
    noisy = f2[keep] * (1 + 0.1 * np.random.default_rng(1).normal(size=int(keep.sum())))
    evidence = laue_evidence(hkl=hkl[keep], intensity=noisy, sigma=0.05 * f2[keep], system="cubic")
    assert evidence.hall == "-P 2 2 3"
