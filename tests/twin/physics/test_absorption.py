"""Thermal diffuse absorption: against direct quadrature, published orders of magnitude, and its effect on a frame."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest

from twin.model.crystal import Crystal
from twin.physics.absorption import absorptive_factor, mean_free_path_angstrom
from twin.physics.bloch import bloch_amplitudes
from twin.physics.electrons import relativistic_gamma, wavelength_angstrom
from twin.physics.lattice import miller_indices, reciprocal_matrix
from twin.physics.potential import potential_matrix, potential_table
from twin.physics.structure_factors import electron_factor

ENERGY = 200.0


@pytest.mark.parametrize("g", [0.0, 0.4, 1.3, 2.5])
def test_closed_form_equals_quadrature(g: float) -> None:
    u = 0.006
    x = np.linspace(-12.0, 12.0, 601)
    step = x[1] - x[0]
    qx, qy = np.meshgrid(x, x, indexing="ij")
    one, two = (qx + g / 2) ** 2 + qy**2, (qx - g / 2) ** 2 + qy**2
    temperature = math.exp(-2 * math.pi**2 * u * g**2) - np.exp(-2 * math.pi**2 * u * (one + two))
    integral = np.sum(electron_factor("In", one / 4) * electron_factor("In", two / 4) * temperature) * step**2
    expected = 0.5 * relativistic_gamma(energy_kev=ENERGY) * wavelength_angstrom(energy_kev=ENERGY) * integral
    found = absorptive_factor(element="In", g_per_angstrom=g, u_angstrom2=u, energy_kev=ENERGY)
    assert float(found) == pytest.approx(float(expected), rel=1e-3)


def test_no_motion_no_absorption() -> None:
    still = absorptive_factor(element="O", g_per_angstrom=[0.0, 0.5, 2.0], u_angstrom2=0.0, energy_kev=ENERGY)
    np.testing.assert_allclose(still, 0.0, atol=1e-12)


def test_mean_free_path_of_indium_oxide(in2o3: Crystal) -> None:
    """An independent Einstein-model calculation gave 185 nm for ITO at 200 kV; it nearly halves with twice the U."""
    path = mean_free_path_angstrom(crystal=in2o3, energy_kev=ENERGY)
    assert path == pytest.approx(1850.0, rel=0.01)
    warmer = dataclasses.replace(
        in2o3, sites=tuple(dataclasses.replace(s, u_iso_angstrom2=2 * s.u_iso_angstrom2) for s in in2o3.sites)
    )
    assert 1.5 < path / mean_free_path_angstrom(crystal=warmer, energy_kev=ENERGY) < 2.0


def test_intensity_is_lost_at_the_mean_rate_and_more_on_the_atoms(in2o3: Crystal) -> None:
    path = mean_free_path_angstrom(crystal=in2o3, energy_kev=ENERGY)
    nodes = np.array([50.0, 100.0, 200.0])
    result = bloch_amplitudes(
        crystal=in2o3, reciprocal_lab=reciprocal_matrix(in2o3.cell), directions=[[0.013, 0.021, 0.99969]],
        energy_kev=ENERGY, thickness_angstrom=nodes, g_max_per_angstrom=1.4, s_max_per_angstrom=0.05, absorption=True,
    )  # fmt: skip
    total = (np.abs(result.amplitudes) ** 2).sum(axis=1)[:, 0]
    assert np.all(np.diff(total) < 0)
    np.testing.assert_allclose(np.log(total), -nodes / path, rtol=0.5)


def test_every_channel_absorbs(in2o3: Crystal) -> None:
    """U' must be positive semi-definite: no beam may gain."""
    table = potential_table(crystal=in2o3, energy_kev=ENERGY, g_max_per_angstrom=0.5, absorption=True)
    hkl = miller_indices(reciprocal=reciprocal_matrix(in2o3.cell), g_max_per_angstrom=0.5)
    lost = potential_matrix(table, hkl)
    values = np.linalg.eigvalsh((lost - lost.conj().T) / 2j)
    assert values[0] > -1e-3 * values[-1]
