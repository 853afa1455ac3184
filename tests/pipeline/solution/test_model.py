"""Amplitudes and their derivatives against independent sums, and a refinement that finds its way back."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from pipeline.solution.model import Atoms, design, free_directions, refine, structure_factors_of
from pipeline.solution.structure_factor_kernel import amplitudes_and_slopes
from twin.model.crystal import Crystal
from twin.physics.lattice import direct_matrix, miller_indices, reciprocal_matrix
from twin.physics.structure_factors import structure_factors
from twin.physics.symmetry import site_multiplicity
from validation.solution.materials import OTHERS, STUDY

MATERIALS = STUDY | OTHERS
ORDERED = [name for name in MATERIALS if name != "mgti2o5"]


def atoms_of(crystal: Crystal) -> Atoms:
    elements = tuple(dict.fromkeys(s.element for s in crystal.sites))
    return Atoms(
        fract=np.array([s.fract for s in crystal.sites]),
        multiplicity=np.array([site_multiplicity(s.fract, crystal.hall) for s in crystal.sites]),
        kind=np.array([elements.index(s.element) for s in crystal.sites]), elements=elements,
        occupancy=np.array([[float(s.element == e) for e in elements] for s in crystal.sites]),
        u_iso_angstrom2=np.full(len(elements), 0.0065),
    )  # fmt: skip


def reflections(crystal: Crystal) -> np.ndarray:
    return miller_indices(reciprocal=reciprocal_matrix(crystal.cell), g_max_per_angstrom=1.0)[1:]


@pytest.mark.parametrize("name", ORDERED)
def test_compiled_sums_are_the_structure_factors_of_the_primitive_cell(name: str) -> None:
    crystal = MATERIALS[name].crystal
    atoms, hkl = atoms_of(crystal), reflections(crystal)
    tables = design(hall=crystal.hall, cell=crystal.cell, hkl=hkl, elements=atoms.elements)
    expected = structure_factors(crystal=crystal, hkl=hkl)
    allowed = np.abs(expected) > 1e-6
    own = structure_factors_of(tables, atoms)
    ratio = own[allowed] / expected[allowed]
    assert np.allclose(ratio, ratio[0], rtol=1e-6)
    assert abs(ratio[0].imag) < 1e-9


@pytest.mark.parametrize("name", ["brookite", "quartz", "LiNbO3"])
def test_slopes_are_the_differences(name: str) -> None:
    crystal = MATERIALS[name].crystal
    atoms, hkl, direct = atoms_of(crystal), reflections(crystal), direct_matrix(crystal.cell)
    tables = design(hall=crystal.hall, cell=crystal.cell, hkl=hkl, elements=atoms.elements)
    basis = [free_directions(x, crystal.hall, direct) for x in atoms.fract]
    directions = np.ascontiguousarray(np.concatenate(basis, axis=1))
    owner = np.repeat(np.arange(len(basis)), [b.shape[1] for b in basis])
    damp = np.exp(-2 * np.pi**2 * 0.0065 * tables.g_squared)
    strength = (atoms.occupancy @ tables.factors) * damp * (atoms.multiplicity / tables.order)[:, None]
    size, slope = amplitudes_and_slopes(tables.turned, tables.phase, tables.centric, strength, tables.g_squared,
                                        atoms.fract, directions, owner, atoms.kind, len(atoms.elements))  # fmt: skip
    strong = size > 0.05 * size.max()
    for k, site in enumerate(owner):
        moved = []
        for step in (1e-6, -1e-6):
            fract = atoms.fract.copy()
            fract[site] += step * directions[:, k]
            moved.append(np.abs(structure_factors_of(tables, replace(atoms, fract=fract))))
        assert slope[strong, k] == pytest.approx((moved[0] - moved[1])[strong] / 2e-6, rel=1e-4, abs=1e-4 * size.max())


@pytest.mark.parametrize("power", [1.0, 0.75, 0.6])
def test_positions_and_the_compression_come_back(power: float) -> None:
    crystal = STUDY["brookite"].crystal
    atoms, hkl, direct = atoms_of(crystal), reflections(crystal), direct_matrix(crystal.cell)
    tables = design(hall=crystal.hall, cell=crystal.cell, hkl=hkl, elements=atoms.elements)
    f_obs = 3.0 * np.abs(structure_factors_of(tables, atoms)) ** power
    start = replace(atoms, fract=atoms.fract + np.array([[0.004, -0.005, 0.003]]))
    fit = refine(tables, start, f_obs=f_obs, direct=direct, cycles=40)
    assert fit.r < 1e-4
    assert fit.atoms.power == pytest.approx(power, abs=1e-3)
    assert np.abs(fit.atoms.fract - atoms.fract).max() < 1e-5
