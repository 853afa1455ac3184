"""Riding hydrogens keep their bond, in every image of the molecule, and their U follows."""

from __future__ import annotations

import numpy as np
import pytest

from pipeline.refinement.parameters import crystal_of, parametrise, standard_uncertainties
from pipeline.refinement.riding import hydrogen_bonds
from twin.model.crystal import Cell, Crystal, Site
from twin.physics.lattice import direct_matrix

CELL = Cell(a_angstrom=5.0, b_angstrom=7.0, c_angstrom=6.0, beta_deg=105.0)
CARBON, OXYGEN = np.array([0.12, 0.21, 0.33]), np.array([0.40, 0.21, 0.45])
SHIFT = np.array([0.03, 0.13, -0.05])
IMAGE = np.array([-1.0, 1.0, -1.0]) * (CARBON + SHIFT) + np.array([1.0, 0.5, 1.5])  # −x, y+1/2, 1/2−z of P 2₁/c


def molecule(*, tensor: bool) -> Crystal:
    """A C-H written in another image than its carbon, an oxygen without hydrogen, and a lone hydrogen."""
    u = (0.02, 0.03, 0.025, 0.001, 0.004, -0.002) if tensor else None
    places = (("C1", "C", CARBON), ("O1", "O", OXYGEN), ("H1", "H", IMAGE), ("H2", "H", np.array([0.6, 0.9, 0.9])))
    sites = []
    for label, element, fract in places:
        x, y, z = fract.tolist()
        aniso = u if element != "H" else None
        sites.append(
            Site(label=label, element=element, fract=(x, y, z), u_iso_angstrom2=0.02, u_aniso_angstrom2=aniso)
        )
    return Crystal(name="x", cell=CELL, hall="-P 2ybc", sites=tuple(sites))


@pytest.mark.parametrize("tensor", [False, True])
def test_the_bond_stays_as_it_is_when_the_parent_moves(tensor: bool) -> None:
    model = molecule(tensor=tensor)
    (bond,) = hydrogen_bonds(model)
    assert (bond.site, bond.parent) == (2, 0)
    p = parametrise(model, anisotropic=["C1", "O1"] if tensor else False, hydrogens="riding")
    assert not [n for n in p.names if n.startswith("H1.")]
    assert [n for n in p.names if n.startswith("H2.")]
    values = p.start.copy()
    values[:3] += (0.01, -0.02, 0.015)
    values[3:9 if tensor else 4] *= 1.5
    moved = crystal_of(p, values)
    direct = direct_matrix(CELL)
    back = (np.array(moved.sites[2].fract) - (1.0, 0.5, 1.5)) * (-1.0, 1.0, -1.0)
    np.testing.assert_allclose(direct @ (back - moved.sites[0].fract), direct @ SHIFT, atol=1e-10)
    assert moved.sites[2].u_iso_angstrom2 == pytest.approx(1.2 * moved.sites[0].u_iso_angstrom2)


def test_riding_hydrogens_have_the_uncertainty_of_their_parents() -> None:
    p = parametrise(molecule(tensor=False), hydrogens="riding")
    su = standard_uncertainties(p, np.diag(np.full(len(p), 1e-4)))
    assert su["H1.y"] == pytest.approx(su["C1.y"])


def test_fixed_hydrogens_stay_and_have_no_parameters() -> None:
    model = molecule(tensor=False)
    p = parametrise(model, hydrogens="fixed")
    assert not [n for n in p.names if n.startswith("H")]
    moved = crystal_of(p, p.start + 0.01)
    assert [s.fract for s in moved.sites[2:]] == [s.fract for s in model.sites[2:]]
    assert moved.sites[2].u_iso_angstrom2 == 0.02
