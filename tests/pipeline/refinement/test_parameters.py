"""The free numbers of a structure and exact derivatives by them."""

from __future__ import annotations

import numpy as np
import pytest

from pipeline.refinement.model_factors import structure_factors_with_derivatives
from pipeline.refinement.parameters import (
    Parametrisation,
    crystal_of,
    parametrise,
    slots_of,
    standard_uncertainties,
)
from twin.model.crystal import Crystal
from twin.physics.lattice import miller_indices, reciprocal_matrix
from twin.physics.structure_factors import structure_factors

STUDY_COUNTS = {"brookite": ("fixed", 13), "ito": ("fixed", 8), "anatase": ("fixed", 4), "mgti2o5": ("composition", 15)}
VARIANTS: list[dict[str, object]] = [{}, {"anisotropic": True}, {"occupancy": "free"}]


@pytest.mark.parametrize("name", STUDY_COUNTS)
def test_parameter_counts_are_those_of_the_study(name: str, crystals: dict[str, Crystal]) -> None:
    occupancy, count = STUDY_COUNTS[name]
    assert len(parametrise(crystals[name], occupancy=occupancy)) + 1 == count  # type: ignore[arg-type]


@pytest.mark.parametrize("variant", range(len(VARIANTS)))
@pytest.mark.parametrize("name", ["brookite", "ito", "anatase", "mgti2o5", "quartz", "zincite"])
def test_structure_factors_and_derivatives(name: str, variant: int, crystals: dict[str, Crystal]) -> None:
    """F agrees with the sum over all atoms of the cell, ∂F/∂p with its central differences."""
    p: Parametrisation = parametrise(crystals[name], **VARIANTS[variant])  # type: ignore[arg-type]
    hkl = miller_indices(reciprocal=reciprocal_matrix(crystals[name].cell), g_max_per_angstrom=0.7)
    factors, jacobian = structure_factors_with_derivatives(p, values=p.start, hkl=hkl)
    np.testing.assert_allclose(factors, structure_factors(crystal=p.crystal, hkl=hkl), atol=1e-11)
    for i, row in enumerate(jacobian):
        change = np.zeros(len(p))
        change[i] = 1e-5
        up, down = (structure_factors(crystal=crystal_of(p, p.start + s * change), hkl=hkl) for s in (1, -1))
        np.testing.assert_allclose((up - down) / 2e-5, row, atol=3e-7 * np.abs(row).max())


def test_crystal_and_vector_are_inverse(crystals: dict[str, Crystal]) -> None:
    p = parametrise(crystals["mgti2o5"], occupancy="composition")
    moved = crystal_of(p, p.start + 0.003)
    again = parametrise(moved, occupancy="composition")
    np.testing.assert_allclose(again.start, p.start + 0.003, atol=1e-12)
    ti = [s.occupancy * m for s, m in zip(moved.sites, (4, 4, 8, 8), strict=False) if s.element == "Ti"]
    assert sum(ti) == pytest.approx(4 * 0.529 + 8 * 0.735)
    assert moved.sites[0].fract == moved.sites[1].fract


def test_polar_origin_is_fixed(crystals: dict[str, Crystal]) -> None:
    p = parametrise(crystals["zincite"])
    assert p.names == ("Zn1.z", "Zn1.u_iso", "O1.u_iso")
    slots = slots_of(p, p.start + np.array([0.01, 0, 0]))
    assert slots[0, 2] + slots[1, 2] == pytest.approx(0.382)


def test_uncertainties_reach_every_dependent_number(crystals: dict[str, Crystal]) -> None:
    p = parametrise(crystals["mgti2o5"], occupancy="composition")
    su = standard_uncertainties(p, np.diag(np.full(len(p), 1e-6)))
    assert su["Ti1.occupancy"] == pytest.approx(1e-3)
    assert su["Mg1.occupancy"] == pytest.approx(1e-3)
    assert su["Ti2.occupancy"] == pytest.approx(0.5e-3)
    assert su["Mg1.x"] == pytest.approx(1e-3)
    assert "Ti1.y" not in su
    assert "O1.occupancy" not in su
