"""Groups tried on a phase set, models tested by omission, groups of higher order that a model's phases support."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from pipeline.solution.atoms import build_model
from pipeline.solution.attempt import Attempt, modelled
from pipeline.solution.flipping import Complexes
from pipeline.solution.groups import Candidate, PhaseMap, rank_groups
from pipeline.solution.model import design, structure_factors_of
from pipeline.solution.output import to_crystal
from pipeline.solution.problem import Problem, contradicted, symmetric_map, workspace
from pipeline.solution.recycling import difference_peak, omit_and_return
from pipeline.solution.symmetrise import CYCLES, impose
from pipeline.solution.workspace import Model

AGREEMENT_LIMIT = 0.5  # mean cos Δφ of the worst operation; φ_sym 0.42 is about 0.5
PROMOTION_LIMIT = 0.7  # the same for phases calculated from a model
PROMOTION_R = 0.4
PLAUSIBLE_R, PLAUSIBLE_RESIDUAL = 0.25, 0.25  # no other number of formula units is tried below both
MODELS_PER_START = 5
NUMBERS, MORE_NUMBERS = 2, 6  # of formula units that are tried; more where the phases agree well with the group
AGREES_WELL = 0.75


def try_phases(
    problem: Problem, f: Complexes, *, start: int, lenience: float = 1.0
) -> tuple[list[Attempt], tuple[Candidate, ...]]:
    """Groups that one phase set supports, highest order first, until one convinces; and those not tried then.

    lenience: factor on the agreement that is asked for.
    """
    limit = lenience * AGREEMENT_LIMIT
    known = np.where(problem.spots.measured, f, 0.0)
    return try_groups(problem, f, _ranked(problem, known, limit), start=start, cycles=CYCLES, agreement_limit=limit)


def try_groups(
    problem: Problem, f: Complexes, candidates: tuple[Candidate, ...], *, start: int, cycles: int,
    agreement_limit: float = AGREEMENT_LIMIT, every: bool = False,
) -> tuple[list[Attempt], tuple[Candidate, ...]]:  # fmt: skip
    """Each candidate with the best model found in it; the candidates after one that convinces are returned.

    every: go on after a model that convinces.
    """
    found: list[Attempt] = []
    for number, candidate in enumerate(candidates):
        accepted = candidate.agreement >= agreement_limit and not contradicted(problem.spots, candidate.setting.hall)
        model, phased, crystal = None, None, None
        if accepted and sum(a.model is not None for a in found) < MODELS_PER_START:
            phased = symmetric_map(problem, candidate, f, cycles=cycles)
            model = _best_model(problem, candidate, phased)
        if model is not None:
            crystal = to_crystal(model, hall=candidate.setting.hall, cell=problem.spots.cell, name=problem.composition)
        found.append(Attempt(candidate=candidate, accepted=accepted, model=model, crystal=crystal,
                             phased=phased, start=start))  # fmt: skip
        if found[-1].convincing and not every:
            return found, candidates[number + 1 :]
    return found, ()


def _ranked(problem: Problem, f: Complexes, agreement_limit: float) -> tuple[Candidate, ...]:
    spots = problem.spots
    phases = PhaseMap(hkl=problem.primitive_hkl, f=f, g=spots.g)
    return rank_groups(phases=phases, laue=spots.laue, centring=spots.centring, agreement_limit=agreement_limit)


def _best_model(problem: Problem, candidate: Candidate, phased: Complexes) -> Model | None:
    space = workspace(problem, candidate.setting.hall)
    best: Model | None = None
    tried, most = 0, MORE_NUMBERS if candidate.agreement > AGREES_WELL else NUMBERS
    for number in problem.numbers:
        model = build_model(space, phased, formula_units=number)
        if model is None:
            continue
        if best is None or model.figure < best.figure:
            best = model
        tried += 1
        if tried >= most or (best.r < PLAUSIBLE_R and best.residual < PLAUSIBLE_RESIDUAL):
            break
    return best


def examined(problem: Problem, attempts: list[Attempt], generator: np.random.Generator, *, most: int) -> list[Attempt]:
    """The best attempts tested, their supergroups tried, and these tested."""
    tested = _tested_best(problem, attempts, generator, most=most)
    return _tested_best(problem, tested + _promotions(problem, tested), generator, most=most)


def _promotions(problem: Problem, attempts: list[Attempt]) -> list[Attempt]:
    """Groups of higher order that the phases of the best models support, though the density's did not."""
    good = [a for a in modelled(attempts) if a.r < PROMOTION_R]
    if not good or good[0].good:
        chosen = good[:1]
    else:
        chosen = list(dict.fromkeys([good[0], *sorted(good, key=lambda a: a.r)[:2]]))
    found: list[Attempt] = []
    for attempt in chosen:
        if attempt.model is None or any(a.good and a.candidate.order > attempt.candidate.order for a in found):
            continue
        atoms = attempt.model.atoms
        tables = design(hall=attempt.candidate.setting.hall, cell=problem.spots.cell, hkl=problem.spots.hkl,
                        elements=atoms.elements)  # fmt: skip
        f = impose(structure_factors_of(tables, atoms), problem.spots.e, problem.spots.measured)
        higher = tuple(c for c in _ranked(problem, f, PROMOTION_LIMIT) if c.order > attempt.candidate.order)
        found += try_groups(problem, f, higher, start=attempt.start, cycles=0, agreement_limit=PROMOTION_LIMIT)[0]
    return found


def _tested_best(
    problem: Problem, attempts: list[Attempt], generator: np.random.Generator, *, most: int
) -> list[Attempt]:
    """The attempts with the best few tested by omission, and replaced where that found better models."""
    order = sorted((i for i, a in enumerate(attempts) if a.model is not None), key=lambda i: attempts[i].figure)
    tested: dict[tuple[str, int], Attempt] = {}
    changed = list(attempts)
    for i in order:
        attempt = attempts[i]
        key = (attempt.candidate.setting.hall, round(200 * attempt.r))
        if key in tested:
            twin = tested[key]
            changed[i] = replace(attempt, recovered=twin.recovered, undecided=twin.undecided,
                                 difference=twin.difference)  # fmt: skip
        elif len(tested) < most and not any(changed[j].good for j in order[:1] if changed[j].recovered is not None):
            changed[i] = attempt if attempt.recovered is not None else _tested(problem, attempt, generator)
            tested[key] = changed[i]
    return changed


def _tested(problem: Problem, attempt: Attempt, generator: np.random.Generator) -> Attempt:
    if attempt.model is None or attempt.phased is None:
        return attempt
    space = workspace(problem, attempt.candidate.setting.hall)
    outcome = omit_and_return(space, attempt.phased, attempt.model, generator=generator)
    crystal = to_crystal(outcome.model, hall=space.hall, cell=problem.spots.cell, name=problem.composition)
    return replace(attempt, model=outcome.model, crystal=crystal, recovered=outcome.recovered, phased=outcome.phased,
                   undecided=outcome.undecided, difference=difference_peak(space, outcome.model.atoms))  # fmt: skip
