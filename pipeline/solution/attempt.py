"""One space group tried on one phase set, with what speaks for and against the model found in it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pipeline.solution.flipping import Complexes
from pipeline.solution.groups import Candidate
from pipeline.solution.workspace import Model
from twin.model.crystal import Crystal

SYMMETRY_BONUS = 0.2  # a group of twice the order may have an R that is higher by this much
SOLVED_R, SOLVED_RESIDUAL = 0.35, 0.25
RECOVERED = 0.9  # share of omitted atoms that must come back where they were
DIFFERENCE_PEAK = 0.35  # of the lowest atom: right models have 0.0-0.25, displaced atoms leave 0.4 and more
EXCELLENT_R, EXCELLENT_PEAK = 0.05, 0.1  # atoms that stay may have a symmetry that hides where the others were
DOUBTFUL = 1.4  # factor on the figure of a model that failed its test
GOOD_R, GOOD_RESIDUAL = 0.12, 0.25
FITTING_R, FITTING_RESIDUAL = 0.06, 0.5  # amplitudes explained so well outweigh a density that is half explained,
DATA_A_PARAMETER = 8  # when there are that many of them: phases of pseudo-symmetric structures are poor
SAME_R = 0.004  # models of two starts with R closer than this are one


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Attempt:
    """One space group tried on one phase set.

    phased: the map that gave the model. recovered: share of omitted atoms that came back; None: not tried.
    undecided: elements that fit elsewhere as well. difference: highest peak of the difference map over the lowest
    atom's height. start: number of the random start. vouched: a model of a supergroup has passed every test, and this
    one is decisively more likely: that the density, which has the higher symmetry, leaves more unexplained is no doubt.
    """

    candidate: Candidate
    accepted: bool
    model: Model | None
    crystal: Crystal | None
    phased: Complexes | None = None
    recovered: float | None = None
    undecided: tuple[str, ...] = ()
    difference: float = 0.0
    start: int = 0
    vouched: bool = False

    @property
    def r(self) -> float:
        """R of the model, 1 where there is none."""
        return 1.0 if self.model is None else self.model.r

    @property
    def good(self) -> bool:
        """Beyond doubt: nothing else needs to be tried on this phase set."""
        model = self.model
        return model is not None and ((model.r < GOOD_R and model.residual < GOOD_RESIDUAL) or fits(model))

    @property
    def convincing(self) -> bool:
        """Good enough not to try groups of lower order on the same phase set, unless it fails its test."""
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
        if model.r > SOLVED_R or (model.residual > SOLVED_RESIDUAL and not self.vouched and not fits(model)):
            found.append("the fit is too poor")
        if self.recovered is None:
            found.append("it was not tested")
        elif self.recovered < RECOVERED and not (model.r < EXCELLENT_R and self.difference < EXCELLENT_PEAK):
            found.append(f"{100 * self.recovered:.0f} % of omitted atoms came back")
        if self.difference > DIFFERENCE_PEAK:
            found.append(f"the difference map has a peak of {self.difference:.1f} of the lowest atom")
        return tuple(found)


def fits(model: Model) -> bool:
    """Whether the amplitudes alone speak for a model: chance gives no such R with so many data a parameter."""
    data = len(model.explanation.log_likelihood) / max(model.explanation.parameters, 1)
    return model.r < FITTING_R and model.residual < FITTING_RESIDUAL and data > DATA_A_PARAMETER


def modelled(attempts: list[Attempt]) -> list[Attempt]:
    """Attempts that have a model, best first."""
    return sorted((a for a in attempts if a.model is not None), key=lambda a: a.figure)


def promising(attempts: list[Attempt]) -> bool:
    """Whether the best model so far is worth its test: beyond doubt, or found from two independent starts."""
    best = next(iter(modelled(attempts)), None)
    return best is not None and (best.good or repeated(best, attempts))


def settled(attempts: list[Attempt]) -> bool:
    """Whether more starts would be idle: the best model passed its test, and is excellent or was found twice."""
    best = next(iter(modelled(attempts)), None)
    return best is not None and not best.doubts and (best.good or repeated(best, attempts))


def repeated(best: Attempt, attempts: list[Attempt]) -> bool:
    """Whether another start gave the same model."""
    return best.model is not None and any(
        a.start != best.start and a.model is not None and a.candidate.setting.hall == best.candidate.setting.hall
        and abs(a.model.r - best.model.r) < SAME_R
        for a in attempts
    )  # fmt: skip
