"""The adaptive cut-off against a wider calculation."""

from __future__ import annotations

import numpy as np

from twin.model.crystal import Crystal
from twin.physics.bloch import BlochResult, bloch_amplitudes
from twin.physics.convergence import adaptive_cut_off, crossed, r1, r1_between
from twin.physics.ewald import precession_directions
from twin.physics.lattice import reciprocal_matrix, rotation_matrix
from twin.physics.potential import potential_table

LAB = rotation_matrix(axis=[0.3, 0.5, 0.2], angle_deg=33.0)


def test_r1_of_equal_and_of_scaled_intensities() -> None:
    intensity = np.array([4.0, 9.0, 1.0])
    assert r1(intensity, intensity) == 0.0
    np.testing.assert_allclose(r1(1.21 * intensity, intensity), 0.1)


def test_the_estimate_bounds_the_true_change(quartz: Crystal) -> None:
    table = potential_table(crystal=quartz, energy_kev=200.0, g_max_per_angstrom=1.4)
    lab = LAB @ reciprocal_matrix(quartz.cell)
    directions = precession_directions(precession_deg=1.0, steps=16)

    def frame(s_max: float) -> BlochResult:
        return bloch_amplitudes(
            crystal=quartz,
            reciprocal_lab=lab,
            directions=directions,
            energy_kev=200.0,
            thickness_angstrom=[400.0],
            g_max_per_angstrom=1.4,
            s_max_per_angstrom=s_max,
            table=table,
        )

    found = adaptive_cut_off(
        crystal=quartz, table=table, reciprocal_lab=lab, directions=directions, thickness_angstrom=400.0, goal=0.02
    )
    assert found.converged
    assert found.error <= 0.02
    assert found.s_max_per_angstrom < 0.3
    wide = frame(0.4)
    assert r1_between(frame(found.s_max_per_angstrom), wide) < 0.02
    assert r1_between(frame(0.01), wide) > r1_between(frame(found.s_max_per_angstrom), wide)
    assert 0 not in crossed(wide)
