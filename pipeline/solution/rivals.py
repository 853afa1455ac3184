"""Which group explains the data best, and which others do as well?"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from pipeline.solution.attempt import Attempt, modelled
from pipeline.solution.elements import is_mixed, parameter_count
from pipeline.solution.likelihood import DECISIVE, Explanation, explanation, preference
from pipeline.solution.model import design, scaled, structure_factors_of
from pipeline.solution.spots import Spots
from pipeline.solution.workspace import unique_rows
from twin.physics.lattice import Ints, direct_matrix
from twin.physics.symmetry import systematically_absent

MOST_RIVALS = 8
ENANTIOMORPHS = frozenset({
    (76, 78), (91, 95), (92, 96), (144, 145), (151, 153), (152, 154), (169, 170), (171, 172), (178, 179), (180, 181),
    (212, 213),
})  # fmt: skip


def best_attempt(attempts: list[Attempt], spots: Spots) -> Attempt | None:
    """The first that passed its test, unless another one is decisively more likely; the first of all if none did.

    Vuong's test with the penalty for parameters settles what R and the unexplained map, which judge a single model, do
    not. A group of lower order wins only where the higher one mixes elements and it gives every position one: with
    more parameters it would fit the multiple scattering.
    """
    ranked = modelled(attempts)
    passed = [a for a in ranked if not a.doubts]
    if not passed:
        return ranked[0] if ranked else None
    best = passed[0]
    for other in ranked[: 2 * MOST_RIVALS]:
        lower = other.candidate.order < best.candidate.order
        candidate = replace(other, vouched=True) if lower else other
        if other is best or candidate.doubts or (lower and not _orders(other, best)):
            continue
        if advantage(candidate, best, spots) > DECISIVE:
            best = candidate
    return best


def group_rivals(best: Attempt, attempts: list[Attempt], spots: Spots) -> list[str]:
    """Names of groups of another type that the data do not exclude.

    A group of the same or a higher order is a rival unless the best one explains the data decisively better. So is a
    group of a lower order that gives every position one element where the best one mixes them.
    """
    chosen: dict[str, Attempt] = {}
    for other in modelled(attempts):
        setting = other.candidate.setting
        lower = other.candidate.order < best.candidate.order
        if same_but_for_hand(setting.number, best.candidate.setting.number) or (lower and not _orders(other, best)):
            continue
        chosen.setdefault(setting.name, other)
    return [name for name, other in list(chosen.items())[:MOST_RIVALS] if advantage(best, other, spots) < DECISIVE]


def _orders(first: Attempt, second: Attempt) -> bool:
    """Whether the first gives every position one element and the second does not."""
    return _mixed(second) and not _mixed(first)


def _mixed(attempt: Attempt) -> bool:
    return attempt.model is not None and is_mixed(attempt.model.atoms)


def advantage(first: Attempt, second: Attempt, spots: Spots) -> float:
    """Vuong's statistic of two attempts over the reflections that neither group forbids.

    Forbidden reflections are lit by multiple scattering: they speak through their mean intensity, not here.
    """
    dark = [systematically_absent(spots.hkl, a.candidate.setting.hall) for a in (first, second)]
    rows = unique_rows(spots.unique, spots.measured & ~dark[0] & ~dark[1])
    return preference(_explained(first, spots, rows), _explained(second, spots, rows))


def _explained(attempt: Attempt, spots: Spots, rows: Ints) -> Explanation:
    assert attempt.model is not None
    atoms, hall = attempt.model.atoms, attempt.candidate.setting.hall
    tables = design(hall=hall, cell=spots.cell, hkl=spots.hkl[rows], elements=atoms.elements)
    f_obs = np.sqrt(spots.raw[rows])
    calculated = scaled(f_obs, np.abs(structure_factors_of(tables, atoms)), atoms.power)
    return explanation(f_obs, calculated, parameters=parameter_count(atoms, hall, direct_matrix(spots.cell)))


def same_but_for_hand(first: int, second: int) -> bool:
    """Equal types, or an enantiomorphic pair: without dynamical intensities the hand is not known anyway."""
    return first == second or tuple(sorted((first, second))) in ENANTIOMORPHS
