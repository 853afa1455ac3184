"""Restraints on bonds and on U_eq: which they are, their slopes, and that they hold where data say nothing."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from pipeline.refinement.least_squares import solve_damped
from pipeline.refinement.parameters import crystal_of, parametrise
from pipeline.refinement.restraints import bonds_of, restraint_rows
from pipeline.refinement.settings import DynamicalSettings
from twin.files.errors import InputError
from twin.model.crystal import Cell, Crystal, Site
from twin.physics.lattice import direct_matrix

CELL = Cell(a_angstrom=5.66, b_angstrom=5.66, c_angstrom=4.71)
UREA = Crystal(
    name="urea", cell=CELL, hall="P -4 2ab",
    sites=(
        Site(label="N1", element="N", fract=(0.355, 0.855, 0.3214), u_iso_angstrom2=0.021),
        Site(label="O1", element="O", fract=(0.5, 0.0, -0.0951), u_iso_angstrom2=0.014),
        Site(label="C1", element="C", fract=(0.5, 0.0, 0.1704), u_iso_angstrom2=0.012),
        Site(label="H1", element="H", fract=(0.2349, 0.7349, 0.215), u_iso_angstrom2=0.04),
        Site(label="H2", element="H", fract=(0.3538, 0.8538, 0.5446), u_iso_angstrom2=0.042),
    ),
)  # fmt: skip


def test_urea_has_its_four_kinds_of_bonds() -> None:
    """C=O 1.25 Å, C-N 1.36 Å, two N-H of 1.05 and 1.08 Å; hydrogen bonds (1.95 Å) are none."""
    found = {(UREA.sites[b.first].label, UREA.sites[b.second].label): b.length_angstrom for b in bonds_of(UREA)}
    assert set(found) == {("N1", "C1"), ("N1", "H1"), ("N1", "H2"), ("O1", "C1")}
    assert found["O1", "C1"] == pytest.approx(1.25, abs=0.01)
    assert found["N1", "C1"] == pytest.approx(1.36, abs=0.01)


@pytest.mark.parametrize("anisotropic", [False, ["N1", "C1", "O1"]])
def test_slopes_are_those_of_differences(anisotropic: bool | list[str]) -> None:
    p, bonds = parametrise(UREA, anisotropic=anisotropic), bonds_of(UREA)
    point = p.start + 0.004 * np.random.default_rng(2).normal(size=len(p))

    def rows(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return restraint_rows(p, values, bonds, bond_sd_angstrom=0.02, u_sd_angstrom2=0.005)

    _, slope = rows(point)
    assert len(slope) == 2 * len(bonds)
    for i in range(len(p)):
        step = np.zeros(len(p))
        step[i] = 1e-6
        by_steps = -(rows(point + step)[0] - rows(point - step)[0]) / 2e-6
        np.testing.assert_allclose(slope[:, i], by_steps, rtol=1e-5, atol=1e-4)


def test_restraints_alone_bring_the_bonds_back() -> None:
    p, bonds = parametrise(UREA), bonds_of(UREA)
    point = p.start.copy()
    point[:4] += (0.01, -0.012, 0.009, -0.01)
    for _ in range(15):
        r, rows = restraint_rows(p, point, bonds, bond_sd_angstrom=0.02, u_sd_angstrom2=None)
        point = point + solve_damped(rows.T @ rows, rows.T @ r, 1e-9)
    back = crystal_of(p, point)
    direct = direct_matrix(CELL)
    for bond in bonds:
        a, b = (np.array(back.sites[i].fract) for i in (bond.first, bond.second))
        length = np.linalg.norm(direct @ (bond.rotation @ b + bond.translation - a))
        assert length == pytest.approx(bond.length_angstrom, abs=1e-6)


def test_equal_displacements_leave_nothing_to_restrain() -> None:
    same = replace(UREA, sites=tuple(replace(s, u_iso_angstrom2=0.02) for s in UREA.sites))
    p = parametrise(same)
    r, _ = restraint_rows(p, p.start, bonds_of(same), bond_sd_angstrom=None, u_sd_angstrom2=0.01)
    np.testing.assert_allclose(r, 0.0, atol=1e-12)


def test_a_restraint_of_no_width_is_refused() -> None:
    with pytest.raises(InputError, match="bond_sd_angstrom"):
        DynamicalSettings(bond_sd_angstrom=0.0)
