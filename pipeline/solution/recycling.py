"""Leave atoms out, look for them again: a way out of false minima, and the evidence that a model is right.

A map with the phases of the atoms that stay shows what was left out where the data want it, not where the model had
it (omit maps: Bhat & Cohen, J. Appl. Cryst. 17 (1984) 244; random omission in the recycling of peak lists: Sheldrick,
Acta Cryst. D58 (2002) 1772).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from scipy.ndimage import map_coordinates

from pipeline.solution.atoms import START_U_ANGSTROM2, place_atoms, ranked_fits
from pipeline.solution.contacts import least_distances_kept
from pipeline.solution.elements import element_choices, finish, with_exchanges
from pipeline.solution.fingerprint import same_structure
from pipeline.solution.flipping import Complexes, density
from pipeline.solution.likelihood import DECISIVE, preference
from pipeline.solution.model import Atoms, free_directions, refine, scaled, structure_factors_of
from pipeline.solution.peaks import distances, orbit_of
from pipeline.solution.workspace import Model, Workspace, phased_by
from twin.physics.lattice import Floats, Ints
from twin.physics.symmetry import operations

OMITTED_SHARE = 0.3
SINGLE_SITES = 6  # models with no more sites have them omitted one by one
REFOUND_ANGSTROM = 0.35
SHAKES, SHAKE_ANGSTROM = 24, 0.6
SHAKEN_R = 0.08  # models with a lower R are not shaken
CLEARLY_BETTER = 0.85
BETTER = 0.98  # a model must be better by this factor to replace another
ALTERNATIVES = 2  # other places of omitted atoms that are looked at further
WORTH_FINISHING = 0.03  # R of a trial above the model's by more than this is not looked at further


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Omission:
    """Outcome of leaving every atom out once: the best model met, and the share of atoms that came back.

    recovered: Σ multiplicity of omitted atoms found within 0.35 Å of where they were / Σ multiplicity omitted.
    undecided: elements that the data would as well have elsewhere. phased: the map that the model is judged by.
    """

    model: Model
    recovered: float
    undecided: tuple[str, ...]
    phased: Complexes


def omission_groups(atoms: Atoms, generator: np.random.Generator) -> list[Ints]:
    """Index sets that cover all sites, none of them all sites of the strongest class."""
    sites = np.arange(len(atoms.kind))
    strong = sites[atoms.kind == 0]
    if len(strong) == 1:
        sites = sites[atoms.kind > 0]
    if len(sites) <= SINGLE_SITES:
        return [sites[i : i + 1] for i in range(len(sites))]
    shuffled = generator.permutation(sites)
    count = max(2, round(1.0 / OMITTED_SHARE))
    return [np.sort(shuffled[i::count]) for i in range(count)]


def subset(atoms: Atoms, rows: Ints) -> Atoms:
    """Some of the sites."""
    return replace(atoms, fract=atoms.fract[rows], multiplicity=atoms.multiplicity[rows], kind=atoms.kind[rows],
                   occupancy=atoms.occupancy[rows])  # fmt: skip


def _refound(space: Workspace, before: Atoms, after: Atoms, rows: Ints) -> int:
    """Multiplicity of the sites ``rows`` of ``before`` that ``after`` has too, with the same class."""
    ops = operations(space.hall)
    found = 0
    for i in rows:
        own: list[Floats] = [after.fract[j] for j in np.flatnonzero(after.kind == before.kind[i])]
        images = orbit_of(before.fract[i], ops)
        if any(distances(x, images, space.direct).min() < REFOUND_ANGSTROM for x in own):
            found += int(before.multiplicity[i])
    return found


def omit_and_return(
    space: Workspace, phased: Complexes, model: Model, *, generator: np.random.Generator, turns: int = 3
) -> Omission:
    """Leave out groups of atoms in turn and place them again; begin anew with every model that is better."""
    best, phased = shake(space, phased, model, generator=generator)
    recovered = 0.0
    undecided: list[str] = []
    for _ in range(turns):
        start, undecided = best, []
        omitted = back = 0
        for rows in omission_groups(start.atoms, generator):
            returned, others = _placed_again(space, phased, start, rows)
            omitted += int(start.atoms.multiplicity[rows].sum())
            back += returned
            for other in others:
                if other.figure < BETTER * best.figure or preference(other.explanation, best.explanation) > DECISIVE:
                    best = other
                elif preference(start.explanation, other.explanation) < DECISIVE:
                    undecided += _names(start.atoms, rows)
        recovered = back / omitted if omitted else 1.0
        best = with_exchanges(space, phased, best)
        if best.atoms is start.atoms:
            break
    return Omission(model=best, recovered=recovered, undecided=tuple(dict.fromkeys(undecided)), phased=phased)


def _placed_again(space: Workspace, phased: Complexes, start: Model, rows: Ints) -> tuple[int, list[Model]]:
    """Multiplicity of the omitted sites that came back, and worthwhile models that have them elsewhere."""
    kept = subset(start.atoms, np.setdiff1d(np.arange(len(start.atoms.kind)), rows))
    trials = place_atoms(space, phased_by(space, kept), formula_units=start.formula_units, kept=kept)
    if not trials:
        return 0, []
    fits = ranked_fits(space, phased, trials)
    weight = int(start.atoms.multiplicity[rows].sum())
    returned = max(_refound(space, start.atoms, atoms, rows) for atoms in (trials[0], fits[0].atoms))
    others = []
    for fit in fits[:ALTERNATIVES]:
        if fit.r > start.r + WORTH_FINISHING or _refound(space, start.atoms, fit.atoms, rows) == weight:
            continue
        other = finish(space, phased, fit.atoms, start.formula_units)
        if not same_structure(start.atoms, other.atoms, hall=space.hall, direct=space.direct):
            others.append(other)
    return returned, others


def _names(atoms: Atoms, rows: Ints) -> list[str]:
    present = atoms.occupancy[rows].sum(axis=0) > 0
    return [e for e, here in zip(atoms.elements, present, strict=True) if here]


def shake(
    space: Workspace, phased: Complexes, model: Model, *, generator: np.random.Generator
) -> tuple[Model, Complexes]:
    """The best of some refinements that start from displaced atoms, and the map to judge it by.

    Pseudo-symmetric structures have wells beside the right one: in bixbyite the displacement of a cation from its place
    in fluorite with the wrong sign, which omission cannot tell, because all other atoms take part in the error.
    """
    if model.r < SHAKEN_R:
        return model, phased
    start = model.atoms
    count = len(start.kind)
    inverse = np.linalg.inv(space.direct)
    free = [free_directions(x, space.hall, space.direct) for x in start.fract]
    tables = [start.occupancy, *element_choices(start, space, model.formula_units)[:8]]
    best, r_best = start, model.r
    for _ in range(SHAKES):
        chosen = generator.random(count) < min(0.6, 3.0 / count)
        steps = generator.standard_normal((count, 3)) * SHAKE_ANGSTROM @ inverse.T
        moves = np.array([f @ np.linalg.pinv(f) @ s for f, s in zip(free, steps, strict=True)])
        moved = replace(start, fract=start.fract + moves * chosen[:, None],
                        occupancy=tables[int(generator.integers(len(tables)))],
                        u_iso_angstrom2=np.full_like(start.u_iso_angstrom2, START_U_ANGSTROM2))  # fmt: skip
        fit = refine(space.unique, moved, f_obs=space.f_obs, direct=space.direct, cycles=15)
        if fit.r < r_best and least_distances_kept(space, fit.atoms):
            best, r_best = fit.atoms, fit.r
    if best is start or r_best > CLEARLY_BETTER * model.r:
        return model, phased
    phases = phased_by(space, best)
    return finish(space, phases, best, model.formula_units), phases


def difference_peak(space: Workspace, atoms: Atoms) -> float:
    """Highest peak of the difference map F_o − k|F_c|^p (model's phases) over the lowest atom of the map k|F_c|^p.

    Errors of the data spread over the whole cell; an atom in a wrong place leaves a peak of an atom's height.
    """
    f = structure_factors_of(space.half, atoms)
    size, use = np.maximum(np.abs(f), 1e-12), space.measured
    expected = np.zeros(len(f))
    expected[use] = scaled(space.half_f_obs[use], size[use], atoms.power)
    rest = np.where(use, (space.half_f_obs - expected) / size, 0.0) * f
    model = density(space.grid, expected / size * f)
    at = (np.linalg.solve(space.basis, atoms.fract.T) % 1.0) * np.array(model.shape)[:, None]
    lowest = float(map_coordinates(model, at, order=1, mode="grid-wrap").min())
    return float(density(space.grid, rest).max()) / max(lowest, 1e-3 * float(model.max()))
