"""Which model wins, and how sure we are, as a sentence."""

from __future__ import annotations

from collections.abc import Sequence

import gemmi

from pipeline.solution.attempt import Attempt, repeated
from pipeline.solution.groups import Setting
from pipeline.solution.rivals import ENANTIOMORPHS, best_attempt, group_rivals
from pipeline.solution.spots import Spots
from pipeline.types import Solution

MOST_ALTERNATIVES = 3


def choose(spots: Spots, attempts: list[Attempt], *, residuals: Sequence[float]) -> Solution:
    """The best attempt with its verdict. residuals: of the phasing, one for each start."""
    candidates = _candidates(attempts)
    names = tuple((a.candidate.setting.name, a.candidate.agreement) for a in candidates)
    phi = tuple(a.candidate.phi for a in candidates)
    starts = tuple(
        (residual, min((a.r for a in attempts if a.start == number), default=1.0))
        for number, residual in enumerate(residuals)
    )
    best = best_attempt(attempts, spots)
    if best is None or best.model is None:
        reason = "no tabulated group agrees with the phases" if not names else "no group could hold the composition"
        return Solution(solved=False, crystal=None, space_group="", candidates=names, residual=1.0,
                        verdict=f"not solved: {reason} in {len(starts)} starts", phi=phi, starts=starts)  # fmt: skip
    model, setting = best.model, best.candidate.setting
    figures = f"R {100 * model.r:.1f} %, {100 * model.residual:.0f} % of the map unexplained"
    open_questions = [
        *group_rivals(best, attempts, spots),
        *model.alternatives[:MOST_ALTERNATIVES],
        *(f"{element} elsewhere" for element in best.undecided),
    ]
    sentence = f"solved in {setting.name} ({figures})"
    if best.doubts:
        sentence = f"not solved: the best model ({setting.name}, {figures}) is not trusted: {', '.join(best.doubts)}"
    elif open_questions:
        sentence = f"ambiguous: {setting.name} ({figures}); not told apart from {', '.join(open_questions)}"
    if model.told_by_bonds and not best.doubts:
        sentence += f"; told by bond lengths alone from {', '.join(model.told_by_bonds[:MOST_ALTERNATIVES])}"
    evidence = (("R", model.r), ("residual", model.residual), ("recovered", best.recovered or 0.0),
                ("difference_peak", best.difference), ("repeated", float(repeated(best, attempts))),
                ("power", model.atoms.power))  # fmt: skip
    return Solution(solved=not best.doubts, crystal=best.crystal, space_group=setting.name, candidates=names,
                    residual=model.residual, verdict=sentence + _hand(setting), evidence=evidence,
                    phi=phi, starts=starts)  # fmt: skip


def _hand(setting: Setting) -> str:
    """What averaged intensities cannot say about a structure without a centre of inversion."""
    if setting.centric:
        return ""
    for pair in ENANTIOMORPHS:
        if setting.number in pair:
            other = next(n for n in pair if n != setting.number)
            name = gemmi.find_spacegroup_by_number(other).hm
            return f"; averaged intensities do not tell the hand ({setting.name} or {name})"
    return "; averaged intensities do not tell the absolute structure"


def _candidates(attempts: list[Attempt]) -> list[Attempt]:
    """Of each group the attempt whose phases agree best, accepted groups of high order first."""
    best: dict[str, Attempt] = {}
    for attempt in attempts:
        name = attempt.candidate.setting.name
        if name not in best or attempt.candidate.agreement > best[name].candidate.agreement:
            best[name] = attempt
    return sorted(best.values(), key=lambda a: (not a.accepted, a.figure, -a.candidate.order, -a.candidate.agreement))
