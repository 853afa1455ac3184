"""Comparison of structures: invariance under every allowed change of description, and the published example."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from twin.model.crystal import Cell, Crystal, Site
from twin.physics.symmetry import orbit
from validation.compare import compare_structures


def crystal(hall: str, cell: tuple[float, ...], sites: list[tuple], name: str = "test") -> Crystal:
    a, b, c, alpha, beta, gamma = cell
    return Crystal(
        name=name, hall=hall,
        cell=Cell(a_angstrom=a, b_angstrom=b, c_angstrom=c, alpha_deg=alpha, beta_deg=beta, gamma_deg=gamma),
        sites=tuple(
            Site(label=label, element=element, fract=fract, occupancy=occupancy[0] if occupancy else 1.0)
            for label, element, fract, *occupancy in sites
        ),
    )  # fmt: skip


BROOKITE = crystal(
    "-P 2ac 2ab", (9.174, 5.449, 5.138, 90, 90, 90),
    [("Ti1", "Ti", (0.1289, 0.0972, 0.8628)), ("O1", "O", (0.0095, 0.1491, 0.1835)),
     ("O2", "O", (0.2314, 0.1110, 0.5366))],
)  # fmt: skip
ANATASE = crystal(
    "-I 4bd 2", (3.7842, 3.7842, 9.5146, 90, 90, 90), [("Ti1", "Ti", (0, 0.75, 0.125)), ("O1", "O", (0, 0.75, 0.3331))]
)
IN2O3 = crystal(
    "-I 2b 2c 3", (10.117, 10.117, 10.117, 90, 90, 90),
    [("In1", "In", (0.25, 0.25, 0.25)), ("In2", "In", (0.4663, 0.0, 0.25)), ("O1", "O", (0.3912, 0.1558, 0.3796))],
)  # fmt: skip
PSEUDOBROOKITE = crystal(
    "-B 2 2b", (9.7974, 9.9943, 3.764, 90, 90, 90),
    [("Ti1", "Ti", (0.8104, 0.25, 0), 0.529), ("Mg1", "Mg", (0.8104, 0.25, 0), 0.471),
     ("Ti2", "Ti", (0.1375, 0.43632, 0), 0.735), ("Mg2", "Mg", (0.1375, 0.43632, 0), 0.265),
     ("O1", "O", (0.2393, 0.25, 0)), ("O2", "O", (0.0479, 0.8833, 0)), ("O3", "O", (0.31, 0.9285, 0))],
)  # fmt: skip
QUARTZ = crystal(
    'P 31 2"', (4.9134, 4.9134, 5.4052, 90, 90, 120),
    [("Si1", "Si", (0.4697, 0, 1 / 3)), ("O1", "O", (0.4133, 0.2672, 0.2144))],
)  # fmt: skip
LITHIUM_NIOBATE = crystal(
    'R 3 -2"c', (5.148, 5.148, 13.863, 90, 90, 120),
    [("Nb1", "Nb", (0, 0, 0.0)), ("Li1", "Li", (0, 0, 0.2787)), ("O1", "O", (0.0492, 0.3446, 0.0647))],
)  # fmt: skip
WURTZITE = crystal("P 6c -2c", (3.25, 3.25, 5.207, 90, 90, 120),
                   [("Zn1", "Zn", (1 / 3, 2 / 3, 0.0)), ("O1", "O", (1 / 3, 2 / 3, 0.382))])  # fmt: skip
ALL = [BROOKITE, ANATASE, IN2O3, PSEUDOBROOKITE, QUARTZ, LITHIUM_NIOBATE, WURTZITE]
NAMES = ["brookite", "anatase", "in2o3", "pseudobrookite", "quartz", "linbo3", "wurtzite"]


def moved(
    structure: Crystal, rotation: np.ndarray, shift: np.ndarray, *, hall: str, cell: tuple[float, ...]
) -> Crystal:
    sites = tuple(replace(s, fract=tuple((rotation @ np.array(s.fract) + shift).tolist())) for s in structure.sites)
    a, b, c, alpha, beta, gamma = cell
    return replace(structure, sites=sites, hall=hall, cell=Cell(
        a_angstrom=a, b_angstrom=b, c_angstrom=c, alpha_deg=alpha, beta_deg=beta, gamma_deg=gamma))  # fmt: skip


@pytest.mark.parametrize("structure", ALL, ids=NAMES)
def test_a_structure_is_at_no_distance_from_itself(structure: Crystal) -> None:
    result = compare_structures(structure, structure)
    assert result.max_distance_angstrom < 1e-6
    assert result.missing == ()
    assert result.spurious == ()
    assert result.same_space_group
    assert not result.hand_inverted
    assert result.lattice_distortion == pytest.approx(0.0, abs=1e-12)
    assert result.similarity == pytest.approx(0.0, abs=1e-6)


@pytest.mark.parametrize(
    ("structure", "shift"),
    [
        (BROOKITE, (0.5, 0.0, 0.5)),
        (BROOKITE, (0.5, 0.5, 0.5)),
        (ANATASE, (0.5, 0.5, 0.0)),
        (ANATASE, (0.0, 0.0, 0.5)),
        (IN2O3, (0.5, 0.5, 0.5)),
        (PSEUDOBROOKITE, (0.5, 0.5, 0.0)),
        (QUARTZ, (0.0, 0.0, 0.5)),
        (LITHIUM_NIOBATE, (0.0, 0.0, 0.1234)),
        (WURTZITE, (0.0, 0.0, 0.7)),
    ],
)
def test_allowed_origin_shifts_cost_nothing(structure: Crystal, shift: tuple[float, float, float]) -> None:
    other = moved(structure, np.eye(3), np.array(shift), hall=structure.hall, cell=structure.cell.parameters)
    for mode in ("best", "bcs"):
        result = compare_structures(structure, other, mode=mode)  # type: ignore[arg-type]
        assert result.max_distance_angstrom < 1e-6
        assert result.missing == ()


def test_a_forbidden_origin_shift_is_seen() -> None:
    other = moved(BROOKITE, np.eye(3), np.array([0.02, 0.0, 0.0]), hall=BROOKITE.hall, cell=BROOKITE.cell.parameters)
    assert compare_structures(BROOKITE, other).mean_distance_angstrom == pytest.approx(0.02 * 9.174, rel=1e-6)


def test_other_settings_of_pbca() -> None:
    swap = np.array([[0, 1, 0], [1, 0, 0], [0, 0, -1]])
    other = moved(BROOKITE, swap, np.zeros(3), hall="-P 2bc 2ac", cell=(5.449, 9.174, 5.138, 90, 90, 90))
    assert compare_structures(BROOKITE, other).max_distance_angstrom < 1e-6


def test_bbmm_is_cmcm() -> None:
    turn = np.array([[0, 0, 1], [1, 0, 0], [0, 1, 0]])  # x' = z, y' = x, z' = y
    other = moved(PSEUDOBROOKITE, turn, np.zeros(3), hall="-C 2c 2", cell=(3.764, 9.7974, 9.9943, 90, 90, 90))
    result = compare_structures(PSEUDOBROOKITE, other)
    assert result.max_distance_angstrom < 1e-6
    assert result.same_space_group


def test_origin_choices_of_anatase() -> None:
    first = crystal("I 4bw 2bw -1bw", (3.7842, 3.7842, 9.5146, 90, 90, 90),
                    [("Ti", "Ti", (0, 0, 0)), ("O", "O", (0, 0, 0.2081))])  # fmt: skip
    result = compare_structures(ANATASE, first)
    assert result.max_distance_angstrom < 1e-6
    assert result.same_space_group


@pytest.mark.parametrize("structure", ALL, ids=NAMES)
def test_a_known_displacement_comes_back(structure: Crystal) -> None:
    oxygen = next(i for i, s in enumerate(structure.sites) if s.element == "O")
    step = np.array([0.0, 0.0, 0.01]) if structure is not PSEUDOBROOKITE else np.array([0.01, 0.0, 0.0])
    sites = list(structure.sites)
    sites[oxygen] = replace(sites[oxygen], fract=tuple((np.array(sites[oxygen].fract) + step).tolist()))
    result = compare_structures(structure, replace(structure, sites=tuple(sites)), mode="bcs")
    length = 0.01 * (structure.cell.a_angstrom if structure is PSEUDOBROOKITE else structure.cell.c_angstrom)
    if structure in (LITHIUM_NIOBATE, WURTZITE):  # polar: the mean shift along c is the origin's
        total = sum(row.multiplicity for row in result.sites)
        share = next(row for row in result.sites if row.label == "O1").multiplicity / total
        expected = 2 * share * (1 - share) * length
    else:
        total = sum(row.multiplicity for row in result.sites)
        expected = next(r for r in result.sites if r.label == sites[oxygen].label).multiplicity / total * length
        assert result.max_distance_angstrom == pytest.approx(length, rel=1e-6)
    assert result.mean_distance_angstrom == pytest.approx(expected, rel=1e-5)


def test_the_other_hand_is_matched_and_said() -> None:
    left = moved(QUARTZ, -np.eye(3), np.zeros(3), hall='P 32 2"', cell=QUARTZ.cell.parameters)
    result = compare_structures(QUARTZ, left)
    assert result.max_distance_angstrom < 1e-6
    assert result.hand_inverted


def test_missing_and_spurious_atoms() -> None:
    extra = Site(label="O9", element="O", fract=(0.4, 0.4, 0.4))
    result = compare_structures(BROOKITE, replace(BROOKITE, sites=(*BROOKITE.sites[:2], extra)))
    assert result.missing == ("O2",)
    assert result.spurious == ("O9",)
    assert result.max_distance_angstrom < 1e-6


def test_a_subgroup_model_is_compared_without_symmetry() -> None:
    sites = tuple(
        Site(label=f"{s.label}{k}", element=s.element, fract=tuple(x.tolist()))
        for s in BROOKITE.sites for k, x in enumerate(orbit(s.fract, BROOKITE.hall))
    )  # fmt: skip
    shifted = tuple(replace(s, fract=tuple((np.array(s.fract) + np.array([0.11, 0.2, 0.3])).tolist())) for s in sites)
    result = compare_structures(BROOKITE, replace(BROOKITE, hall="P 1", sites=shifted))
    assert not result.same_space_group
    assert result.max_distance_angstrom < 1e-6
    assert result.missing == ()
    assert result.spurious == ()


def test_published_example_of_compstru() -> None:
    """CdWO4 against MnWO4, P2/c: the worked example of de la Flor et al. (2016)."""
    cadmium = crystal("-P 2yc", (7.6269, 5.0780, 5.8670, 90, 138.79, 90),
        [("Cd1", "Cd", (0.5, 0.302, 0.25)), ("W1", "W", (0.0, 0.1784, 0.25)),
         ("O1", "O", (0.811, 0.901, 0.265)), ("O2", "O", (0.75, 0.36, 0.143))])  # fmt: skip
    manganese = crystal("-P 2yc", (4.8237, 5.7552, 5.0019, 90, 91.0838, 90),
        [("Mn1", "Mn", (0.5, 0.6849, 0.25)), ("W1", "W", (0.0, 0.1798, 0.25)),
         ("O1", "O", (0.2105, 0.1024, 0.9412)), ("O2", "O", (0.2503, 0.3744, 0.3938))])  # fmt: skip
    result = compare_structures(cadmium, manganese, mode="bcs")
    assert round(result.lattice_distortion, 4) == 0.0754
    assert round(result.max_distance_angstrom, 4) == 1.0159
    assert round(result.mean_distance_angstrom, 4) == 0.8733
    assert round(result.similarity, 3) == 0.387
    # the two wolframites are isotypic: with the other, less strained lattice match the atoms nearly coincide
    best = compare_structures(cadmium, manganese, mode="best")
    assert best.mean_distance_angstrom < 0.1
    assert best.lattice_distortion < result.lattice_distortion
