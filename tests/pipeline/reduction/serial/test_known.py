"""Rotations of a known lattice, and how many settings a Laue class leaves open."""

from __future__ import annotations

import numpy as np
import pytest

from pipeline.reduction.indexing import centring_allows
from pipeline.reduction.serial.known import find_centring, known_lattice, proper_turns
from twin.files.errors import InputError
from twin.model.crystal import Cell

CELLS = {
    "cubic": (10.0, 10.0, 10.0, 90.0, 90.0, 90.0),
    "tetragonal": (4.0, 4.0, 9.0, 90.0, 90.0, 90.0),
    "hexagonal": (5.0, 5.0, 7.0, 90.0, 90.0, 120.0),
    "orthorhombic": (9.2, 5.4, 5.1, 90.0, 90.0, 90.0),
    "monoclinic": (5.0, 6.0, 7.0, 90.0, 100.0, 90.0),
    "triclinic": (5.0, 6.0, 7.0, 85.0, 100.0, 95.0),
}


def cell(name: str) -> Cell:
    a, b, c, alpha, beta, gamma = CELLS[name]
    return Cell(a_angstrom=a, b_angstrom=b, c_angstrom=c, alpha_deg=alpha, beta_deg=beta, gamma_deg=gamma)


@pytest.mark.parametrize(
    ("system", "laue", "turns", "settings"),
    [
        ("cubic", "m-3m", 24, 1), ("cubic", "m-3", 24, 2), ("cubic", "4/mmm", 24, 3), ("tetragonal", "4/mmm", 8, 1),
        ("tetragonal", "4/m", 8, 2), ("hexagonal", "6/mmm", 12, 1), ("hexagonal", "-3m1", 12, 2),
        ("hexagonal", "-3", 12, 4), ("orthorhombic", "mmm", 4, 1), ("monoclinic", "2/m", 2, 1),
        ("triclinic", "-1", 1, 1),
    ],
)  # fmt: skip
def test_turns_of_the_lattice_are_those_of_its_holohedry(system: str, laue: str, turns: int, settings: int) -> None:
    known = known_lattice(cell=cell(system), laue=laue)
    assert len(known.lattice_turns) == turns
    assert len(known.settings) == settings == turns // len(proper_turns(known.hall))
    np.testing.assert_array_equal(known.settings[0], np.eye(3))
    b = known.reciprocal
    for t in known.lattice_turns:
        np.testing.assert_allclose((b @ t).T @ (b @ t), b.T @ b, atol=1e-12)


@pytest.mark.parametrize(("system", "laue"), [("tetragonal", "m-3"), ("orthorhombic", "4/m"), ("triclinic", "2/m")])
def test_a_laue_class_that_the_cell_lacks_is_refused(system: str, laue: str) -> None:
    with pytest.raises(InputError, match=f"'{laue}', but the cell"):
        known_lattice(cell=cell(system), laue=laue)


def test_an_unknown_class_is_refused() -> None:
    with pytest.raises(InputError, match="allowed are -1, 2/m"):
        known_lattice(cell=cell("cubic"), laue="m3")


@pytest.mark.parametrize("centring", ["P", "I", "F", "C", "A"])
def test_the_centring_is_read_from_indices_of_which_a_few_are_wrong(centring: str) -> None:
    rng = np.random.default_rng(5)
    hkl = rng.integers(-6, 7, (4000, 3))
    right = hkl[centring_allows(hkl, centring)][:900]
    assert find_centring(np.concatenate([right, hkl[-20:]]))[0] == centring
