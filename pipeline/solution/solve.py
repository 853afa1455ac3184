"""Structure solution without a space group: phases, group, atoms, and a verdict."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from pipeline.solution.absences import absences
from pipeline.solution.atoms import Model, Workspace, build_model, unique_rows
from pipeline.solution.composition import classes, formula_units, parse_formula
from pipeline.solution.flipping import Complexes, flip_charges, make_grid
from pipeline.solution.groups import Candidate, PhaseMap, primitive_basis, rank_groups
from pipeline.solution.model import design, structure_factors_of
from pipeline.solution.output import model_phased_density, to_crystal
from pipeline.solution.recycling import difference_peak, omit_and_return
from pipeline.solution.spots import Spots, prepare
from pipeline.solution.symmetrise import CYCLES, impose, recycle
from pipeline.solution.verdict import Attempt, choose, promising, settled
from pipeline.types import MergedReflections, Solution
from twin.model.crystal import Cell
from twin.physics.lattice import Ints, cell_volume_angstrom3, direct_matrix
from twin.physics.symmetry import systematically_absent

AGREEMENT_LIMIT = 0.5  # mean cos Δφ of the worst operation; φ_sym 0.42 is about 0.5
ABSENCE_LIMIT = 0.35  # <I_absent>/<I_allowed> that multiple scattering may reach
PROMOTION_LIMIT = 0.7  # the same for phases calculated from a model
PROMOTION_R = 0.4
BATCH = 4
PLAUSIBLE_R = 0.25  # no other number of formula units is tried below this
MODELS_PER_START = 5
RECYCLED = 3  # models tested by omission after each batch of starts
DATA_LIMIT_PER_ANGSTROM = 1.45

Progress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Problem:
    """Data in conventional and primitive indices, and what the cell holds."""

    spots: Spots
    primitive_hkl: Ints
    composition: str
    formula: dict[str, float]
    numbers: tuple[int, ...]


def solve_structure(
    *, merged: MergedReflections, cell: Cell, composition: str, seed: int, starts: int = 8,
    density_angstrom3_per_formula: float | None = None, progress: Progress | None = None,
) -> Solution:  # fmt: skip
    """Phases by charge flipping in P1, the space group from the phases, atoms from the density; see docs/theory.md.

    composition: formula unit, such as 'In2O3'. density_angstrom3_per_formula: volume of a formula unit in Å³ if known.
    starts: random starts at most; fewer are used when a model explains the data early. ``progress(done, total)``.
    """
    problem = _problem(merged, cell, composition, density_angstrom3_per_formula)
    generator = np.random.Generator(np.random.Philox(np.random.SeedSequence([seed, 0x736F6C76])))
    attempts: list[Attempt] = []
    for done in range(0, starts, BATCH):
        batch = min(BATCH, starts - done)
        phased, _ = flip_charges(hkl=problem.primitive_hkl, e=problem.spots.e, measured=problem.spots.measured,
                                 starts=batch, generator=generator)  # fmt: skip
        for number, f in enumerate(phased):
            attempts += _attempts(problem, f, start=done + number)
            if promising(attempts):
                attempts = _examined(problem, attempts, generator, most=1)
                if settled(attempts):
                    break
        else:
            attempts = _examined(problem, attempts, generator, most=RECYCLED)
        if progress is not None:
            progress(done + batch, starts)
        if settled(attempts):
            break
    solution = choose(problem.spots, attempts, composition=composition, starts=starts)
    if solution.crystal is None:
        return solution
    return replace(solution, density=model_phased_density(problem.spots, solution.crystal))


def _problem(merged: MergedReflections, cell: Cell, composition: str, volume: float | None) -> Problem:
    formula = parse_formula(composition)
    spots = prepare(merged=merged, cell=cell, g_max_per_angstrom=DATA_LIMIT_PER_ANGSTROM)
    hkl = np.rint(spots.hkl @ primitive_basis(spots.centring)).astype(np.int64)
    numbers = formula_units(formula, volume_angstrom3=cell_volume_angstrom3(cell), given_angstrom3=volume)
    return Problem(spots=spots, primitive_hkl=hkl, composition=composition, formula=formula, numbers=tuple(numbers))


def _promotions(problem: Problem, attempts: list[Attempt]) -> list[Attempt]:
    """Groups of higher order that the phases of the best models support, though the density's did not."""
    modelled = sorted((a for a in attempts if a.model is not None and a.model.r < PROMOTION_R), key=lambda a: a.figure)
    if not modelled or modelled[0].good:
        chosen = modelled[:1]
    else:
        chosen = list(dict.fromkeys([modelled[0], *sorted(modelled, key=lambda a: a.r)[:2]]))
    found: list[Attempt] = []
    for attempt in chosen:
        if attempt.model is None or any(a.good and a.candidate.order > attempt.candidate.order for a in found):
            continue
        atoms = attempt.model.atoms
        tables = design(hall=attempt.candidate.setting.hall, cell=problem.spots.cell, hkl=problem.spots.hkl,
                        elements=atoms.elements)  # fmt: skip
        f = impose(structure_factors_of(tables, atoms), problem.spots.e, problem.spots.measured)
        found += _attempts(problem, f, start=attempt.start, order_above=attempt.candidate.order,
                           agreement_limit=PROMOTION_LIMIT)  # fmt: skip
    return found


def _attempts(
    problem: Problem, f: Complexes, *, start: int, order_above: int = 0, agreement_limit: float = AGREEMENT_LIMIT
) -> list[Attempt]:
    """Groups that one phase set supports, each with the best model found in it."""
    spots = problem.spots
    phases = PhaseMap(hkl=problem.primitive_hkl, f=f, g=spots.g)
    candidates = rank_groups(phases=phases, laue=spots.laue, centring=spots.centring,
                             agreement_limit=agreement_limit)  # fmt: skip
    found: list[Attempt] = []
    for candidate in (c for c in candidates if c.order > order_above):
        accepted = candidate.agreement >= agreement_limit and not _contradicted(spots, candidate.setting.hall)
        model, phased = None, None
        if accepted and sum(a.model is not None for a in found) < MODELS_PER_START:
            phased = _symmetric_map(problem, candidate, f, cycles=CYCLES if order_above == 0 else 0)
            model = _best_model(problem, candidate, phased)
        crystal = None
        if model is not None:
            crystal = to_crystal(model, hall=candidate.setting.hall, cell=spots.cell, name=problem.composition)
        found.append(Attempt(candidate=candidate, accepted=accepted, model=model, crystal=crystal,
                             phased=phased, start=start))  # fmt: skip
        if found[-1].convincing:
            break
    return found


def _contradicted(spots: Spots, hall: str) -> bool:
    """Whether reflections that the group forbids are bright on average (ratio of intensities, not significance)."""
    found = absences(hkl=spots.hkl, g=spots.g, e_squared=spots.e**2, measured=spots.measured, hall=hall)
    return found.count >= 4 and found.ratio > ABSENCE_LIMIT


def _workspace(problem: Problem, hall: str) -> Workspace:
    """Tables for models in one setting."""
    spots = problem.spots
    kinds = classes(problem.formula)
    elements = tuple(e for k in kinds for e in k.elements)
    rows = unique_rows(spots.unique, spots.measured & ~systematically_absent(spots.hkl, hall))
    f_obs = np.sqrt(spots.intensity)
    return Workspace(
        hall=hall, direct=direct_matrix(spots.cell), basis=primitive_basis(spots.centring),
        grid=make_grid(problem.primitive_hkl, oversampling=1.9),
        half=design(hall=hall, cell=spots.cell, hkl=spots.hkl, elements=elements),
        unique=design(hall=hall, cell=spots.cell, hkl=spots.hkl[rows], elements=elements),
        f_obs=f_obs[rows], half_f_obs=f_obs, measured=spots.measured, kinds=kinds, elements=elements,
    )  # fmt: skip


def _symmetric_map(problem: Problem, candidate: Candidate, f: Complexes, *, cycles: int) -> Complexes:
    """F_obs with the phases of f in the candidate's setting, symmetrised and cleaned."""
    spots = problem.spots
    phased_e = recycle(candidate=candidate, hkl=spots.hkl, primitive_hkl=problem.primitive_hkl, f=f, e=spots.e,
                       measured=spots.measured, cycles=cycles)  # fmt: skip
    phased = impose(phased_e, np.sqrt(spots.intensity), spots.measured)
    return np.asarray(np.where(spots.measured, phased, 0.0))


def _best_model(problem: Problem, candidate: Candidate, phased: Complexes) -> Model | None:
    space = _workspace(problem, candidate.setting.hall)
    best: Model | None = None
    tried = 0
    for number in problem.numbers:
        model = build_model(space, phased, formula_units=number)
        if model is None:
            continue
        if best is None or model.figure < best.figure:
            best = model
        tried += 1
        if tried >= 2 or best.r < PLAUSIBLE_R:
            break
    return best


def _examined(problem: Problem, attempts: list[Attempt], generator: np.random.Generator, *, most: int) -> list[Attempt]:
    """The best attempts tested, their supergroups tried, and these tested."""
    tested = _recycled(problem, attempts, generator, most=most)
    return _recycled(problem, tested + _promotions(problem, tested), generator, most=most)


def _recycled(problem: Problem, attempts: list[Attempt], generator: np.random.Generator, *, most: int) -> list[Attempt]:
    """The attempts with the best few tested by omission, and replaced where that found better models."""
    order = sorted((i for i, a in enumerate(attempts) if a.model is not None), key=lambda i: attempts[i].figure)
    tested: dict[tuple[str, int], Attempt] = {}
    changed = list(attempts)
    for i in order:
        attempt = attempts[i]
        key = (attempt.candidate.setting.hall, round(200 * attempt.r))
        if key in tested:
            twin = tested[key]
            changed[i] = replace(attempt, recovered=twin.recovered, difference=twin.difference)
        elif len(tested) < most and not any(changed[j].good for j in order[:1] if changed[j].recovered is not None):
            changed[i] = attempt if attempt.recovered is not None else _tested(problem, attempt, generator)
            tested[key] = changed[i]
    return changed


def _tested(problem: Problem, attempt: Attempt, generator: np.random.Generator) -> Attempt:
    if attempt.model is None or attempt.phased is None:
        return attempt
    space = _workspace(problem, attempt.candidate.setting.hall)
    outcome = omit_and_return(space, attempt.phased, attempt.model, generator=generator)
    crystal = to_crystal(outcome.model, hall=space.hall, cell=problem.spots.cell, name=problem.composition)
    return replace(attempt, model=outcome.model, crystal=crystal, recovered=outcome.recovered, phased=outcome.phased,
                   difference=difference_peak(space, outcome.model.atoms))  # fmt: skip
