"""Which model wins, and how sure we are, as a sentence."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pipeline.solution.atoms import Model
from pipeline.solution.flipping import Complexes
from pipeline.solution.groups import Candidate
from pipeline.solution.spots import Spots
from pipeline.types import Solution
from twin.model.crystal import Crystal
from twin.physics.symmetry import systematically_absent

SYMMETRY_BONUS = 0.2  # a group of twice the order may have an R that is higher by this much
SOLVED_R, SOLVED_RESIDUAL = 0.35, 0.25
RECOVERED = 0.9  # share of omitted atoms that must come back where they were
DIFFERENCE_PEAK = 0.35  # of the lowest atom: right models have 0.0-0.25, displaced atoms leave 0.4 and more
EXCELLENT_R, EXCELLENT_PEAK = 0.05, 0.1  # atoms that stay may have a symmetry that hides where the others were
ELEMENTS_R = 0.03  # a choice of elements is certain when the next has an R higher by this much
DOUBTFUL = 1.4  # factor on the figure of a model that failed its test
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
    phased: Complexes | None = None  # the map that gave the model
    recovered: float | None = None  # share of omitted atoms that came back; None: not tried
    difference: float = 0.0  # highest peak of the difference map over the lowest atom's height
    start: int = 0  # number of the random start

    @property
    def r(self) -> float:
        """R of the model, 1 where there is none."""
        return 1.0 if self.model is None else self.model.r

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
        tested = self.recovered is not None
        return float(self.model.figure * bonus * (DOUBTFUL if tested and self.doubts else 1.0))

    @property
    def doubts(self) -> tuple[str, ...]:
        """Why the model may be wrong, as clauses; empty when it passed every test."""
        model = self.model
        if model is None:
            return ("there is no model",)
        found = []
        if model.r > SOLVED_R or model.residual > SOLVED_RESIDUAL:
            found.append("the fit is too poor")
        if self.recovered is None:
            found.append("it was not tested")
        elif self.recovered < RECOVERED and not (model.r < EXCELLENT_R and self.difference < EXCELLENT_PEAK):
            found.append(f"{100 * self.recovered:.0f} % of omitted atoms came back")
        if self.difference > DIFFERENCE_PEAK:
            found.append(f"the difference map has a peak of {self.difference:.1f} of the lowest atom")
        return tuple(found)


def _modelled(attempts: list[Attempt]) -> list[Attempt]:
    return sorted((a for a in attempts if a.model is not None), key=lambda a: a.figure)


def promising(attempts: list[Attempt]) -> bool:
    """Whether the best model so far is worth its test: beyond doubt, or found from two independent starts."""
    best = next(iter(_modelled(attempts)), None)
    return best is not None and (best.good or repeated(best, attempts))


def settled(attempts: list[Attempt]) -> bool:
    """Whether more starts would be idle: the best model passed its test, and is excellent or was found twice."""
    best = next(iter(_modelled(attempts)), None)
    return best is not None and not best.doubts and (best.good or repeated(best, attempts))


def repeated(best: Attempt, attempts: list[Attempt]) -> bool:
    """Whether another start gave the same model."""
    return best.model is not None and any(
        a.start != best.start and a.model is not None and a.candidate.setting.hall == best.candidate.setting.hall
        and abs(a.model.r - best.model.r) < 0.004
        for a in attempts
    )  # fmt: skip


def choose(spots: Spots, attempts: list[Attempt], *, composition: str, starts: int) -> Solution:
    """The best attempt with its verdict."""
    names = _scores(attempts)
    modelled = _modelled(attempts)
    if not modelled:
        reason = "no tabulated group agrees with the phases" if not names else "no group could hold the composition"
        return Solution(solved=False, crystal=None, space_group="", candidates=names, residual=1.0,
                        verdict=f"not solved: {reason} in {starts} starts")  # fmt: skip
    best = modelled[0]
    model, setting = best.model, best.candidate.setting
    assert model is not None
    figures = f"R {100 * model.r:.1f} %, {100 * model.residual:.0f} % of the map unexplained"
    rivals = _rivals(best, modelled, spots)
    if model.runner_up_r < model.r + ELEMENTS_R:
        rivals.append("another choice of elements")
    sentence = f"solved in {setting.name} ({figures})"
    if best.doubts:
        sentence = f"not solved: the best model ({setting.name}, {figures}) is not trusted: {', '.join(best.doubts)}"
    elif rivals:
        sentence = f"ambiguous: {setting.name} ({figures}); not told apart from {', '.join(rivals)}"
    evidence = (("R", model.r), ("residual", model.residual), ("recovered", best.recovered or 0.0),
                ("difference_peak", best.difference), ("repeated", float(repeated(best, attempts))),
                ("exponent", spots.exponent))  # fmt: skip
    return Solution(solved=not best.doubts, crystal=best.crystal, space_group=setting.name, candidates=names,
                    residual=model.residual, verdict=sentence, evidence=evidence)  # fmt: skip


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
