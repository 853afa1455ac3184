"""Site symmetry as linear constraints."""

from __future__ import annotations

import gemmi
import numpy as np
import pytest

from pipeline.refinement.constraints import (
    TENSOR_INDICES,
    composition_constraints,
    coordinate_basis,
    equivalent_isotropic,
    isotropic_tensor,
    null_space,
    polar_directions,
    row_reduced_basis,
    shared_groups,
    snap_to_site,
    tensor_basis,
)
from twin.model.crystal import Cell, Crystal
from twin.physics.lattice import direct_matrix, reciprocal_matrix
from twin.physics.symmetry import operations

# One Hall symbol of every crystal system and centring, with a cell that obeys it, and special positions of it.
CELL = {
    "triclinic": Cell(a_angstrom=6.0, b_angstrom=7.0, c_angstrom=8.0, alpha_deg=82.0, beta_deg=97.0, gamma_deg=105.0),
    "monoclinic": Cell(a_angstrom=6.0, b_angstrom=7.0, c_angstrom=8.0, beta_deg=104.0),
    "orthorhombic": Cell(a_angstrom=6.0, b_angstrom=7.0, c_angstrom=8.0),
    "tetragonal": Cell(a_angstrom=6.0, b_angstrom=6.0, c_angstrom=9.0),
    "hexagonal": Cell(a_angstrom=6.0, b_angstrom=6.0, c_angstrom=9.0, gamma_deg=120.0),
    "cubic": Cell(a_angstrom=9.0, b_angstrom=9.0, c_angstrom=9.0),
}
CASES = [
    ("-P 1", "triclinic"),
    ("P 2y", "monoclinic"),
    ("-C 2yc", "monoclinic"),
    ("-P 2ac 2ab", "orthorhombic"),
    ("-B 2 2b", "orthorhombic"),
    ("-I 4bd 2", "tetragonal"),
    ("P 4w 2c", "tetragonal"),
    ('P 31 2"', "hexagonal"),
    ('-R 3 2"', "hexagonal"),
    ("P 6c -2c", "hexagonal"),
    ("-P 6 2", "hexagonal"),
    ("-I 2b 2c 3", "cubic"),
    ("-F 4 2 3", "cubic"),
    ("F -4 2 3", "cubic"),
    ("-I 4bd 2c 3", "cubic"),
]


def _special_positions(hall: str, rng: np.random.Generator) -> list[np.ndarray]:
    """Fixed points of products of random operations with a random point: every kind of Wyckoff position turns up."""
    ops = operations(hall)
    found = [rng.random(3)]
    for _ in range(40):
        x = rng.random(3)
        for _ in range(rng.integers(1, 4)):
            k = rng.integers(len(ops))
            r, t = ops.rotations[k], ops.translations[k]
            orbit = [x]
            for _ in range(12):
                orbit.append(r @ orbit[-1] + t)
                if np.array_equal(np.linalg.matrix_power(r, len(orbit) - 1), np.eye(3)):
                    break
            drift = orbit[-1] - orbit[0]
            if np.allclose(drift, 0):
                x = np.mean(orbit[:-1], axis=0)
        found.append(x)
    return found


@pytest.mark.parametrize(("hall", "system"), CASES)
def test_every_kind_of_position_stays_on_its_symmetry_elements(hall: str, system: str) -> None:
    cell, rng = CELL[system], np.random.default_rng(5)
    orders = set()
    for x in _special_positions(hall, rng):
        exact, ops = snap_to_site(fract=x, hall=hall, cell=cell, tolerance_angstrom=1e-3)
        orders.add(len(ops))
        basis, pivots = coordinate_basis(ops.rotations)
        moved = exact + basis @ rng.standard_normal(len(pivots))
        for r, t in zip(ops.rotations, ops.translations, strict=True):
            np.testing.assert_allclose(r @ moved + t, moved, atol=1e-9)
        tensors, places = tensor_basis(ops.rotations, cell)
        lengths = np.linalg.norm(reciprocal_matrix(cell), axis=0)
        u = np.zeros((3, 3))
        for value, (i, j) in zip(tensors @ rng.standard_normal(len(places)), TENSOR_INDICES, strict=True):
            u[i, j] = u[j, i] = value * lengths[i] * lengths[j]
        for r in ops.rotations:
            np.testing.assert_allclose(r @ u @ r.T, u, atol=1e-9)
        np.testing.assert_allclose(tensors[list(places)], np.eye(len(places)), atol=1e-12)
    assert 1 in orders
    if hall != 'P 31 2"' or len(orders) > 1:
        assert len(orders) > 1, "no special position was met"


@pytest.mark.parametrize(("hall", "system"), CASES)
def test_isotropic_motion_obeys_every_site_symmetry(hall: str, system: str) -> None:
    cell = CELL[system]
    isotropic = isotropic_tensor(u_iso_angstrom2=0.0123, cell=cell)
    basis, places = tensor_basis(operations(hall).rotations, cell)
    np.testing.assert_allclose(basis @ isotropic[list(places)], isotropic, atol=1e-12)
    assert equivalent_isotropic(u_aniso_angstrom2=isotropic, cell=cell) == pytest.approx(0.0123, rel=1e-12)


def test_known_constraints() -> None:
    """International Tables: u22 = u11, u12 = u11/2, u13 = u23 = 0 on a sixfold axis; x 2x z on 3m of a mirror."""
    basis, places = tensor_basis(operations("-P 6 2").rotations, CELL["hexagonal"])
    assert places == (0, 2)
    np.testing.assert_allclose(basis[:, 0], [1, 1, 0, 0.5, 0, 0], atol=1e-12)
    basis, places = tensor_basis(operations("-F 4 2 3").rotations, CELL["cubic"])
    np.testing.assert_allclose(basis[:, 0], [1, 1, 1, 0, 0, 0], atol=1e-12)
    exact, ops = snap_to_site(fract=(0.11, 0.2203, 0.3), hall="P 6c -2c", cell=CELL["hexagonal"])
    vectors, pivots = coordinate_basis(ops.rotations)
    assert pivots == (0, 2)
    np.testing.assert_allclose(vectors[:, 0], [1, 2, 0], atol=1e-12)
    assert exact[1] == pytest.approx(2 * exact[0])


def test_anisotropic_equivalent_agrees_with_gemmi() -> None:
    cell = CELL["triclinic"]
    u = (0.011, 0.013, 0.017, 0.001, -0.002, 0.003)
    site = gemmi.SmallStructure.Site()
    site.aniso = gemmi.SMat33d(*u)
    orth = np.array(gemmi.UnitCell(*cell.parameters).orth.mat.tolist())
    lengths = np.linalg.norm(reciprocal_matrix(cell), axis=0)
    tensor = np.array([[u[0], u[3], u[4]], [u[3], u[1], u[5]], [u[4], u[5], u[2]]]) * np.outer(lengths, lengths)
    cartesian = orth @ tensor @ orth.T
    assert equivalent_isotropic(u_aniso_angstrom2=u, cell=cell) == pytest.approx(np.trace(cartesian) / 3)


def test_shared_positions_and_composition(crystals: dict[str, Crystal]) -> None:
    model = crystals["mgti2o5"]
    groups = shared_groups(model.sites, model.cell)
    assert groups == ((0, 1), (2, 3), (4,), (5,), (6,))
    rows = composition_constraints(sites=model.sites, groups=groups, multiplicities=[4, 4, 8, 8, 4, 8, 8])
    free = null_space(rows)
    assert free.shape[1] == 1
    change = free[:, 0] / free[0, 0]
    np.testing.assert_allclose(change, [1, -1, -0.5, 0.5, 0, 0, 0], atol=1e-12)


def test_polar_directions() -> None:
    assert polar_directions("-P 2ac 2ab").shape == (3, 0)
    np.testing.assert_allclose(polar_directions("P 6c -2c")[:, 0], [0, 0, 1], atol=1e-12)
    assert polar_directions("P 1").shape == (3, 3)
    assert polar_directions("P -2y").shape == (3, 2)


def test_row_reduced_basis_spans_the_same_space() -> None:
    rng = np.random.default_rng(0)
    vectors = rng.standard_normal((7, 3)) @ rng.standard_normal((3, 5))
    basis, pivots = row_reduced_basis(vectors)
    assert basis.shape == (7, 3)
    np.testing.assert_allclose(basis[list(pivots)], np.eye(3), atol=1e-12)
    rebuilt = basis @ vectors[list(pivots)]
    np.testing.assert_allclose(rebuilt, vectors, atol=1e-10)


def test_a_position_beside_its_element_snaps_onto_it(crystals: dict[str, Crystal]) -> None:
    model = crystals["ito"]
    beside = np.array(model.sites[2].fract) + np.array([0.001, 0.002, -0.0015])
    exact, ops = snap_to_site(fract=beside, hall=model.hall, cell=model.cell)
    assert len(ops) == 2
    assert exact[1] == pytest.approx(0.0)
    assert exact[2] == pytest.approx(0.25)
    assert np.linalg.norm(direct_matrix(model.cell) @ (exact - beside)) < 0.03
