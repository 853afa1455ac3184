"""Closed two-beam forms and the Blackman curve, against the many-beam propagator and published values."""

from __future__ import annotations

import numpy as np
import pytest

from twin.model.crystal import Cell, Crystal, Site
from twin.physics.electrons import wavenumber_per_angstrom
from twin.physics.kinematical import kinematical_integrated
from twin.physics.propagation import propagate
from twin.physics.structure_factors import potential_coefficients
from twin.physics.two_beam import blackman_integrated, blackman_ratio, extinction_distance_angstrom


@pytest.mark.parametrize(("below", "thickness"), [(0.05, 0.125), (0.10, 0.179), (0.20, 0.259), (0.50, 0.453)])
def test_blackman_curve_at_known_points(below: float, thickness: float) -> None:
    assert float(blackman_ratio(extinction_angstrom=1.0, thickness_angstrom=thickness)) == pytest.approx(
        1.0 - below, abs=2e-3
    )


def test_integrating_the_propagated_rocking_curve_gives_blackman() -> None:
    k, u = 39.87, 0.05
    s = np.linspace(-0.6, 0.6, 6001)
    t = np.array([100.0, 400.0, 1200.0])
    psi = propagate(
        potential=np.array([[0.0, u], [u, 0.0]]), excitation_error=np.stack([0 * s, s]), wavenumber_per_angstrom=k,
        thickness_angstrom=t,
    )  # fmt: skip
    tail = 2 * (u / k) ** 2 / 2 / 0.6  # ∫ of the mean ½ (u/ks)² beyond the ends
    found = np.trapezoid(np.abs(psi[:, 1]) ** 2, s, axis=1) + tail
    expected = blackman_integrated(
        extinction_angstrom=extinction_distance_angstrom(potential=u, wavenumber_per_angstrom=k), thickness_angstrom=t
    )
    np.testing.assert_allclose(found, expected, rtol=2e-4)


def test_thin_crystals_are_kinematical() -> None:
    k, u = 39.87, 0.05
    thin = blackman_integrated(extinction_angstrom=k / u, thickness_angstrom=1.0)
    assert float(thin) == pytest.approx(
        float(kinematical_integrated(potential=[u], wavenumber_per_angstrom=k, thickness_angstrom=[1.0])[0, 0]),
        rel=1e-4,
    )


def test_extinction_distances_of_the_textbook() -> None:
    """Al 111 at 100 kV 55.6 nm and Si 220 75.7 nm (Hirsch et al. 1965); our factors give 55.6 and 76.2."""
    k = wavenumber_per_angstrom(energy_kev=100.0)
    al = Crystal(
        name="Al", cell=Cell(a_angstrom=4.0496, b_angstrom=4.0496, c_angstrom=4.0496), hall="-F 4 2 3",
        sites=(Site(label="Al", element="Al", fract=(0.0, 0.0, 0.0), u_iso_angstrom2=0.0),),
    )  # fmt: skip
    u = potential_coefficients(crystal=al, hkl=[[1, 1, 1]], energy_kev=100.0)
    assert float(extinction_distance_angstrom(potential=u, wavenumber_per_angstrom=k)[0]) == pytest.approx(
        556.0, rel=0.01
    )
