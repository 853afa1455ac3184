"""Which model wins, and how sure we are, as a sentence."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pipeline.solution.atoms import Model
from pipeline.solution.groups import Candidate
from pipeline.solution.spots import Spots
from pipeline.types import Solution
from twin.model.crystal import Crystal
from twin.physics.symmetry import systematically_absent

SYMMETRY_BONUS = 0.2  # a group of twice the order may have an R that is higher by this much
SOLVED_R, SOLVED_RESIDUAL = 0.40, 0.32
GOOD_R, GOOD_RESIDUAL = 0.12, 0.25
ENANTIOMORPHS = frozenset({
    (76, 78), (91, 95), (92, 96), (144, 145), (151, 153), (152, 154), (169, 170), (171, 172), (178, 179), (180, 181),
    (212, 213),
})  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Attempt:
    """One space group tried on one phase set."""

    candidate: Candidate
    accepted: bool
    model: Model | None
    crystal: Crystal | None

    @property
    def good(self) -> bool:
        """Beyond doubt: nothing else needs to be tried on this phase set."""
        return self.model is not None and self.model.r < GOOD_R and self.model.residual < GOOD_RESIDUAL

    @property
    def convincing(self) -> bool:
        """Good enough not to try groups of lower order on the same phase set."""
        return self.good or (self.model is not None and self.model.r < 0.25 and self.model.residual < 0.12)

    @property
    def figure(self) -> float:
        """Lower is better: R and the unexplained part of the map, with a bonus for symmetry."""
        if self.model is None:
            return float("inf")
        bonus = (1.0 - SYMMETRY_BONUS) ** float(np.log2(self.candidate.order))
        return float(self.model.figure * bonus)


def settled(attempts: list[Attempt]) -> bool:
    """Whether more starts would be idle: one model beyond doubt, or the best one found from two independent starts."""
    modelled = sorted((a for a in attempts if a.model is not None), key=lambda a: a.figure)
    if not modelled or modelled[0].model is None:
        return False
    best = modelled[0].model
    if best.residual > GOOD_RESIDUAL:
        return False
    name = modelled[0].candidate.setting.name
    again = [a for a in modelled[1:] if a.candidate.setting.name == name and a.model is not None]
    return modelled[0].good or any(a.model is not None and abs(a.model.r - best.r) < 0.003 for a in again)


def choose(spots: Spots, attempts: list[Attempt], *, composition: str, starts: int) -> Solution:
    """The best attempt with its verdict."""
    names = _scores(attempts)
    modelled = sorted((a for a in attempts if a.model is not None), key=lambda a: a.figure)
    if not modelled:
        reason = "no tabulated group agrees with the phases" if not names else "no group could hold the composition"
        return Solution(solved=False, crystal=None, space_group="", candidates=names, residual=1.0,
                        verdict=f"not solved: {reason} in {starts} starts")  # fmt: skip
    best = modelled[0]
    model, setting = best.model, best.candidate.setting
    assert model is not None
    figures = f"R {100 * model.r:.1f} %, {100 * model.residual:.0f} % of the map unexplained"
    if model.r > SOLVED_R or model.residual > SOLVED_RESIDUAL:
        return Solution(solved=False, crystal=best.crystal, space_group=setting.name, candidates=names,
                        residual=model.residual,
                        verdict=f"not solved: the best model ({setting.name}) is too poor ({figures})")  # fmt: skip
    rivals = _rivals(best, modelled, spots)
    sentence = f"solved in {setting.name} ({figures})"
    if rivals:
        sentence = f"ambiguous: {setting.name} ({figures}); not told apart from {', '.join(rivals)}"
    return Solution(solved=True, crystal=best.crystal, space_group=setting.name, candidates=names,
                    residual=model.residual, verdict=sentence)  # fmt: skip


def _scores(attempts: list[Attempt]) -> tuple[tuple[str, float], ...]:
    """Best agreement of each group over the starts, accepted groups of high order first."""
    best: dict[str, Attempt] = {}
    for attempt in attempts:
        name = attempt.candidate.setting.name
        if name not in best or attempt.candidate.agreement > best[name].candidate.agreement:
            best[name] = attempt
    order = sorted(best.values(), key=lambda a: (not a.accepted, a.figure, -a.candidate.order, -a.candidate.agreement))
    return tuple((a.candidate.setting.name, a.candidate.agreement) for a in order)


def _same_but_for_hand(first: int, second: int) -> bool:
    """Equal types, or an enantiomorphic pair: without dynamical intensities the hand is not known anyway."""
    return first == second or tuple(sorted((first, second))) in ENANTIOMORPHS


def _rivals(best: Attempt, modelled: list[Attempt], spots: Spots) -> list[str]:
    """Groups that explain the data as well: equal order with a like figure, or supergroups refused by a hair."""
    found: list[str] = []
    for other in modelled[1:]:
        same = _same_but_for_hand(other.candidate.setting.number, best.candidate.setting.number)
        close = other.figure < 1.15 * best.figure and other.candidate.order >= best.candidate.order
        if not same and close and other.candidate.setting.name not in found:
            found.append(other.candidate.setting.name)
    absent = systematically_absent(spots.hkl, best.candidate.setting.hall)
    if not best.candidate.setting.centric and best.model is not None:
        for other in modelled[1:]:
            setting = other.candidate.setting
            alike = np.array_equal(systematically_absent(spots.hkl, setting.hall), absent)
            if setting.centric and alike and other.figure < 1.6 * best.figure and setting.name not in found:
                found.append(setting.name)
    return found
