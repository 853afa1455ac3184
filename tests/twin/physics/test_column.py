"""Column approximation: quadrature, Parseval, and the shape transform of a sphere."""

from __future__ import annotations

import numpy as np
import pytest

from twin.physics.column import (
    density_matrices,
    integrated_intensity,
    mean_rocking_curve,
    mode_maps,
    spot_coefficients,
    spot_templates,
    thickness_basis,
)
from twin.physics.kinematical import kinematical_amplitudes

K = 39.9
RADIUS = 50.0


def sphere_samples(n: int = 400) -> tuple[np.ndarray, np.ndarray]:
    axis = ((np.arange(n) + 0.5) / n * 2 - 1) * RADIUS
    r = np.hypot(axis[None, :], axis[:, None])
    t = 2 * np.sqrt(np.maximum(RADIUS**2 - r**2, 0.0))
    return t[t > 0], np.full((t > 0).sum(), (2 * RADIUS / n) ** 2)


def test_nodes_carry_the_area_and_the_volume() -> None:
    t, w = sphere_samples()
    basis = thickness_basis(thickness_angstrom=t, weight=w, nodes=9)
    assert basis.weight.sum() == pytest.approx(np.pi * RADIUS**2, rel=1e-3)
    assert basis.weight @ basis.thickness_angstrom == pytest.approx(4 / 3 * np.pi * RADIUS**3, rel=1e-3)
    moments = [basis.weight @ basis.thickness_angstrom**p / (w @ t**p) for p in range(18)]
    np.testing.assert_allclose(moments, 1.0, rtol=3e-5)


@pytest.mark.parametrize(("s", "nodes"), [(0.0, 9), (0.005, 9), (0.02, 9), (0.04, 12), (0.08, 18)])
def test_few_nodes_integrate_a_rocking_sphere_to_a_thousandth(s: float, nodes: int) -> None:
    t, w = sphere_samples()
    basis = thickness_basis(thickness_angstrom=t, weight=w, nodes=nodes)
    exact = np.sum(w * (t * np.sinc(s * t)) ** 2)
    at_nodes = np.sum(basis.weight * (basis.thickness_angstrom * np.sinc(s * basis.thickness_angstrom)) ** 2)
    assert at_nodes == pytest.approx(exact, rel=1e-3)
    assert mean_rocking_curve(basis=basis, excitation_error=[s])[0] == pytest.approx(exact, rel=1e-4)


def test_a_slab_has_one_thickness() -> None:
    basis = thickness_basis(thickness_angstrom=np.full(1000, 120.0), weight=np.ones(1000), nodes=9)
    assert basis.thickness_angstrom.size == 1
    assert basis.thickness_angstrom[0] == pytest.approx(120.0)
    assert basis.weight[0] == pytest.approx(1000.0)


def test_parseval_joins_spot_and_integrated_intensity() -> None:
    rng = np.random.default_rng(1)
    t, w = sphere_samples(100)
    basis = thickness_basis(thickness_angstrom=t, weight=w, nodes=7)
    psi = rng.standard_normal((7, 5, 8)) + 1j * rng.standard_normal((7, 5, 8))
    s = rng.uniform(-0.02, 0.02, size=(5, 8))
    share = np.full(8, 1 / 8)
    rho = density_matrices(basis=basis, amplitudes=psi, excitation_error=s, azimuth_weight=share, modes=7)
    np.testing.assert_allclose(
        np.trace(rho, axis1=1, axis2=2).real, integrated_intensity(basis=basis, amplitudes=psi) @ share, rtol=1e-10
    )
    np.testing.assert_allclose(rho, rho.conj().transpose(0, 2, 1), atol=1e-12)
    assert np.linalg.eigvalsh(rho).min() > -1e-9 * np.abs(rho).max()


def grid(n: int = 128, spacing: float = 4.0) -> tuple[np.ndarray, np.ndarray]:
    axis = (np.arange(n) - n // 2) * spacing
    r = np.hypot(axis[None, :], axis[:, None])
    return 2 * np.sqrt(np.maximum(RADIUS**2 - r**2, 0.0)), r


@pytest.mark.parametrize("s", [0.0, 0.008])
def test_kinematical_spot_of_a_sphere_is_its_shape_transform(s: float) -> None:
    """|3 (sin x − x cos x) / x³|² at x = 2π R √(q² + s²): the plane z = s cut out of the transform of the sphere."""
    n, spacing = 128, 4.0
    t, w = sphere_samples()
    basis = thickness_basis(thickness_angstrom=t, weight=w, nodes=9)
    psi = kinematical_amplitudes(
        potential=[1e-4],
        excitation_error=[[s]],
        wavenumber_per_angstrom=K,
        thickness_angstrom=basis.thickness_angstrom,
        first_is_direct_beam=False,
    )
    rho = density_matrices(
        basis=basis, amplitudes=psi, excitation_error=np.array([[s]]), azimuth_weight=np.ones(1), modes=6
    )
    maps = mode_maps(basis=basis, thickness_angstrom=grid(n, spacing)[0], amplitude=np.ones((n, n)), modes=6)
    templates = spot_templates(maps=maps, samples=n, pixel_angstrom=spacing, disc_radius_per_angstrom=0.0)
    spot = np.tensordot(spot_coefficients(rho)[0], templates, axes=1)
    q = (np.arange(n) - n // 2) / (n * spacing)
    x = 2 * np.pi * RADIUS * np.sqrt(q**2 + max(s, 1e-9) ** 2)
    expected = (3 * (np.sin(x) - x * np.cos(x)) / x**3) ** 2
    line = spot[n // 2]
    near = np.abs(q) < 0.03
    peak = (3 * (np.sin(x[n // 2]) - x[n // 2] * np.cos(x[n // 2])) / x[n // 2] ** 3) ** 2
    np.testing.assert_allclose(line[near] / line[n // 2], expected[near] / peak, atol=0.02)
    np.testing.assert_allclose(spot, spot.T, atol=1e-4 * spot.max())


def test_disc_widens_spots_and_keeps_their_electrons() -> None:
    n, spacing, disc = 128, 4.0, 0.012
    t, w = sphere_samples()
    basis = thickness_basis(thickness_angstrom=t, weight=w, nodes=3)
    maps = mode_maps(basis=basis, thickness_angstrom=grid(n, spacing)[0], amplitude=np.ones((n, n)), modes=1)
    point = spot_templates(maps=maps, samples=n, pixel_angstrom=spacing, disc_radius_per_angstrom=0.0)[0]
    wide = spot_templates(maps=maps, samples=n, pixel_angstrom=spacing, disc_radius_per_angstrom=disc)[0]
    assert point.sum() == pytest.approx(1.0, rel=0.01)
    assert wide.sum() == pytest.approx(point.sum(), rel=1e-4)
    q = (np.arange(n) - n // 2) / (n * spacing)
    near = np.abs(q) < 0.06
    variance = [(f.sum(axis=0)[near] @ q[near] ** 2) / f.sum(axis=0)[near].sum() for f in (point, wide)]
    assert variance[1] - variance[0] == pytest.approx(disc**2 / 4, rel=0.1)
