"""Amorphous supports on the absolute scale."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.signal import argrelmax

from twin.model.specimen import Membrane
from twin.specimen.membrane import (
    MATERIALS,
    inelastic_fraction,
    inelastic_profile,
    interference,
    mean_free_path_nm,
    scattered_fraction_density,
    transmitted_fraction,
)


@pytest.mark.parametrize(
    ("material", "energy_kev", "expected_nm"),
    [("carbon", 120, 157), ("carbon", 200, 221), ("ice", 120, 377), ("ice", 200, 529)],
)
def test_elastic_mean_free_paths(material: str, energy_kev: float, expected_nm: float) -> None:
    """Computed for independent atoms (157, 221, 377, 529 nm); interference changes them by a tenth."""
    membrane = Membrane(material=material, thickness_nm=10.0)  # type: ignore[arg-type]
    assert mean_free_path_nm(membrane=membrane, energy_kev=energy_kev) == pytest.approx(expected_nm, rel=0.12)


@pytest.mark.parametrize(("material", "rings"), [("carbon", (0.49, 0.85)), ("ice", (0.27, 0.46))])
def test_rings_stand_where_they_were_measured(material: str, rings: tuple[float, ...]) -> None:
    q = np.linspace(0.05, 1.5, 1451)
    peaks = q[argrelmax(interference(MATERIALS[material], q))[0]]
    np.testing.assert_allclose(peaks[:2], rings, atol=0.03)
    assert interference(MATERIALS[material], np.array([5.0]))[0] == pytest.approx(1.0, abs=1e-6)


def test_scattering_is_linear_in_thickness_and_attenuation_exponential() -> None:
    thin, thick = Membrane(material="carbon", thickness_nm=5.0), Membrane(material="carbon", thickness_nm=10.0)
    q = np.linspace(0, 2, 50)
    a = scattered_fraction_density(membrane=thin, q_per_angstrom=q, energy_kev=200)
    b = scattered_fraction_density(membrane=thick, q_per_angstrom=q, energy_kev=200)
    np.testing.assert_allclose(b, 2 * a)
    once = transmitted_fraction(membrane=thin, energy_kev=200)
    assert transmitted_fraction(membrane=thick, energy_kev=200) == pytest.approx(once**2)


def test_no_membrane_does_nothing() -> None:
    none = Membrane(material="none", thickness_nm=10.0)
    assert transmitted_fraction(membrane=none, energy_kev=200) == 1.0
    assert not scattered_fraction_density(membrane=none, q_per_angstrom=[0.0, 1.0], energy_kev=200).any()


def test_energy_losses_stay_near_the_beam_and_are_counted() -> None:
    membrane = Membrane(material="carbon", thickness_nm=10.0)
    assert inelastic_fraction(membrane=membrane, energy_kev=200) == pytest.approx(1 - np.exp(-10 / 143))
    assert inelastic_fraction(membrane=membrane, energy_kev=120) == pytest.approx(1 - np.exp(-10 / 111))
    q = np.linspace(0, 3, 6001)
    p = inelastic_profile(membrane=membrane, q_per_angstrom=q, energy_kev=200, blur_per_angstrom=0.004)
    assert np.trapezoid(p * 2 * np.pi * q, q) == pytest.approx(1.0)
    inside = q < 0.1
    assert np.trapezoid((p * 2 * np.pi * q)[inside], q[inside]) > 0.5
    none = Membrane(material="none", thickness_nm=10.0)
    assert inelastic_fraction(membrane=none, energy_kev=200) == 0.0
