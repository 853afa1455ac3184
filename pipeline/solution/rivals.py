"""Which other groups explain the data as well as the best one?"""

from __future__ import annotations

import numpy as np

from pipeline.solution.attempt import Attempt, modelled
from pipeline.solution.elements import parameter_count
from pipeline.solution.likelihood import DECISIVE, Explanation, explanation, preference
from pipeline.solution.model import design, scaled, structure_factors_of
from pipeline.solution.spots import Spots
from pipeline.solution.workspace import unique_rows
from twin.physics.lattice import direct_matrix

MOST_RIVALS = 8
ENANTIOMORPHS = frozenset({
    (76, 78), (91, 95), (92, 96), (144, 145), (151, 153), (152, 154), (169, 170), (171, 172), (178, 179), (180, 181),
    (212, 213),
})  # fmt: skip


def group_rivals(best: Attempt, attempts: list[Attempt], spots: Spots) -> list[str]:
    """Names of groups of another type that the data do not exclude.

    A group of the same or a higher order is a rival unless the best one explains the data decisively better; a group
    of a lower order only if it explains them decisively better itself: symmetry is not given up for less.
    """
    chosen: dict[str, Attempt] = {}
    for other in modelled(attempts):
        setting = other.candidate.setting
        if not same_but_for_hand(setting.number, best.candidate.setting.number):
            chosen.setdefault(setting.name, other)
    if not chosen:
        return []
    own = explained(best, spots)
    found = []
    for name, other in list(chosen.items())[:MOST_RIVALS]:
        advantage = preference(own, explained(other, spots))
        lower = other.candidate.order < best.candidate.order
        if advantage < (-DECISIVE if lower else DECISIVE):
            found.append(name)
    return found


def explained(attempt: Attempt, spots: Spots) -> Explanation:
    """Likelihood of every measured reflection, those that the group forbids included."""
    assert attempt.model is not None
    atoms, hall = attempt.model.atoms, attempt.candidate.setting.hall
    rows = unique_rows(spots.unique, spots.measured)
    tables = design(hall=hall, cell=spots.cell, hkl=spots.hkl[rows], elements=atoms.elements)
    f_obs = np.sqrt(spots.raw[rows])
    calculated = scaled(f_obs, np.abs(structure_factors_of(tables, atoms)), atoms.power)
    return explanation(f_obs, calculated, parameters=parameter_count(atoms, hall, direct_matrix(spots.cell)))


def same_but_for_hand(first: int, second: int) -> bool:
    """Equal types, or an enantiomorphic pair: without dynamical intensities the hand is not known anyway."""
    return first == second or tuple(sorted((first, second))) in ENANTIOMORPHS
