"""Which position holds which element: every choice that the formula allows is refined, the data decide or do not."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
from scipy.ndimage import map_coordinates

from pipeline.solution.composition import SIMILAR_FACTOR, Scatterers, power
from pipeline.solution.contacts import least_distances_kept
from pipeline.solution.fingerprint import same_structure
from pipeline.solution.flipping import Complexes, density
from pipeline.solution.likelihood import DECISIVE, Explanation, explanation, preference
from pipeline.solution.model import Atoms, Fit, free_directions, refine
from pipeline.solution.valence import bonds_exclude
from pipeline.solution.workspace import Model, Workspace, phased_by, unexplained
from twin.physics.lattice import Floats

MOST_CHOICES = 60
FINALISTS = 6
MOST_EXCHANGES = 6
WORTH_WEIGHING = 0.03  # a trial with an R above the model's by more than this is out
MOST_SITES = 8  # of a class with several elements


def mixture(kind: Scatterers, elements: tuple[str, ...]) -> Floats:
    """Occupancies of a position that the elements of a class share as the formula has them; (elements,)."""
    row = np.zeros(len(elements))
    for element, count in zip(kind.elements, kind.counts, strict=True):
        row[elements.index(element)] = count / kind.total
    return row


def element_choices(atoms: Atoms, space: Workspace, formula_units: int) -> list[Floats]:
    """Occupancy tables to compare: every class mixed, then every way to give its positions one element each."""
    mixed = np.array([mixture(space.kinds[k], space.elements) for k in atoms.kind])
    choices = [mixed]
    for k, scatterers in enumerate(space.kinds):
        sites = np.flatnonzero(atoms.kind == k)
        if len(scatterers.elements) < 2 or len(sites) < 2 or len(sites) > MOST_SITES:
            continue
        targets = [round(c * formula_units) for c in scatterers.counts]
        for labels in itertools.product(range(len(targets)), repeat=len(sites)):
            counts = [int(atoms.multiplicity[sites[np.array(labels) == e]].sum()) for e in range(len(targets))]
            if counts != targets:
                continue
            table = mixed.copy()
            for site, e in zip(sites, labels, strict=True):
                table[site] = 0.0
                table[site, space.elements.index(scatterers.elements[e])] = 1.0
            choices.append(table)
    return choices[:MOST_CHOICES]


def _by_height(atoms: Atoms, space: Workspace, formula_units: int) -> list[Floats]:
    """For classes with too many positions to try every choice: the strong elements where the map is high."""
    table = np.array([mixture(space.kinds[k], space.elements) for k in atoms.kind])
    rho = density(space.grid, phased_by(space, atoms))
    at = (np.linalg.solve(space.basis, atoms.fract.T) % 1.0) * np.array(rho.shape)[:, None]
    height = map_coordinates(rho, at, order=1, mode="grid-wrap")
    found = False
    for k, scatterers in enumerate(space.kinds):
        sites = np.flatnonzero(atoms.kind == k)
        if len(scatterers.elements) < 2 or len(sites) <= MOST_SITES:
            continue
        left = [round(c * formula_units) for c in scatterers.counts]
        for site in sites[np.argsort(-height[sites], kind="stable")]:
            e = next((e for e, count in enumerate(left) if count >= atoms.multiplicity[site]), None)
            if e is None:
                return []
            left[e] -= int(atoms.multiplicity[site])
            table[site] = 0.0
            table[site, space.elements.index(scatterers.elements[e])] = 1.0
        found = True
    return [table] if found else []


def parameter_count(atoms: Atoms, hall: str, direct: Floats) -> int:
    """Free coordinates, one U a class, p and the scale."""
    free = sum(int(free_directions(x, hall, direct).shape[1]) for x in atoms.fract)
    return free + len(atoms.u_iso_angstrom2) + 2


def finish(space: Workspace, phased: Complexes, atoms: Atoms, formula_units: int) -> Model:
    """The model refined under every choice of elements; the best one, and which others are not excluded."""
    start = refine(space.unique, atoms, f_obs=space.f_obs, direct=space.direct).atoms
    choices = [*element_choices(start, space, formula_units), *_by_height(start, space, formula_units)]
    if space.molecular and len(choices) > 1:
        choices = choices[1:]  # a molecule does not mix its elements
    quick = [replace(start, occupancy=table) for table in choices]
    if len(choices) > FINALISTS:
        fits = [refine(space.unique, a, f_obs=space.f_obs, direct=space.direct, cycles=4) for a in quick]
        quick = [fit.atoms for fit in sorted(fits, key=lambda fit: fit.r)[:FINALISTS]]
    ranked = sorted((weighted_fit(space, a) for a in quick), key=lambda found: -found[1].total)
    fit, best = ranked[0]
    for other, found in ranked[1:]:
        if _better(space, (other.atoms, found), (fit.atoms, best)):
            fit, best = other, found
    doubtful = [
        other.atoms
        for other, found in ranked
        if other is not fit
        and preference(best, found) < DECISIVE
        and not same_structure(fit.atoms, other.atoms, hall=space.hall, direct=space.direct)
    ]
    model = Model(atoms=fit.atoms, r=fit.r, residual=unexplained(space, phased, fit.atoms), explanation=best,
                  formula_units=formula_units)  # fmt: skip
    return _with_rivals(space, model, doubtful)


def _better(space: Workspace, first: tuple[Atoms, Explanation], second: tuple[Atoms, Explanation]) -> bool:
    """Whether the first choice is to be preferred: the data decide, then bond lengths, then the likelihood."""
    (atoms, explained), (other, as_well) = first, second
    if abs(preference(explained, as_well)) < DECISIVE:
        for excluded, by in ((other, atoms), (atoms, other)):
            if bonds_exclude(excluded, by, hall=space.hall, direct=space.direct, states=space.states):
                return excluded is other
    return explained.total > as_well.total


def _with_rivals(space: Workspace, model: Model, rivals: list[Atoms]) -> Model:
    """The model with choices of elements that the data do not exclude: bond lengths may."""
    told = [bonds_exclude(other, model.atoms, hall=space.hall, direct=space.direct, states=space.states)
            for other in rivals]  # fmt: skip
    words = [_in_words(model.atoms, other) for other in rivals]
    still = [text for text, excluded in zip(words, told, strict=True) if not excluded]
    past = [text for text, excluded in zip(words, told, strict=True) if excluded and text not in still]
    return replace(model, alternatives=tuple(dict.fromkeys((*model.alternatives, *still))),
                   told_by_bonds=tuple(dict.fromkeys((*model.told_by_bonds, *past))))  # fmt: skip


def weighted_fit(space: Workspace, atoms: Atoms) -> tuple[Fit, Explanation]:
    """Refined with equal weights, then with those that the misfit asks for."""
    count = parameter_count(atoms, space.hall, space.direct)
    fit = refine(space.unique, atoms, f_obs=space.f_obs, direct=space.direct)
    for _ in range(2):
        variance = explanation(space.f_obs, fit.calculated, parameters=count).variance
        fit = refine(space.unique, fit.atoms, f_obs=space.f_obs, direct=space.direct, cycles=6,
                     weights=float(variance.mean()) / variance)  # fmt: skip
    return fit, explanation(space.f_obs, fit.calculated, parameters=count)


def with_exchanges(space: Workspace, phased: Complexes, model: Model) -> Model:
    """The model after every exchange of two positions' elements that makes it better, across classes too.

    Exchanges that neither the data nor bond lengths exclude join the alternatives.
    """
    for _ in range(MOST_EXCHANGES):
        best = (model.atoms, model.explanation)
        rivals: list[Atoms] = []
        for trial in _exchanged(space, model.atoms):
            fit = refine(space.unique, trial, f_obs=space.f_obs, direct=space.direct, cycles=4)
            if fit.r > model.r + WORTH_WEIGHING or not least_distances_kept(space, fit.atoms):
                continue
            fit, found = weighted_fit(space, fit.atoms)
            if same_structure(model.atoms, fit.atoms, hall=space.hall, direct=space.direct):
                continue
            if _better(space, (fit.atoms, found), best):
                best = (fit.atoms, found)
            if preference(model.explanation, found) < DECISIVE:
                rivals.append(fit.atoms)
        if best[0] is model.atoms:
            return _with_rivals(space, model, rivals)
        model = finish(space, phased, best[0], model.formula_units)
    return model


def _exchanged(space: Workspace, atoms: Atoms) -> Iterator[Atoms]:
    """Two positions of equal multiplicity with different elements of similar power, exchanged."""
    strength = atoms.occupancy @ np.array([power(e) for e in space.elements])
    for i, j in itertools.combinations(range(len(atoms.kind)), 2):
        alike = max(strength[i], strength[j]) < SIMILAR_FACTOR * min(strength[i], strength[j])
        differ = np.any(atoms.occupancy[i] != atoms.occupancy[j])
        if alike and differ and atoms.multiplicity[i] == atoms.multiplicity[j]:
            order = np.arange(len(atoms.kind))
            order[[i, j]] = j, i
            yield replace(atoms, occupancy=atoms.occupancy[order], kind=atoms.kind[order])


def is_mixed(atoms: Atoms) -> bool:
    """Whether any position is shared by elements."""
    return bool(np.any((atoms.occupancy > 0.0) & (atoms.occupancy < 1.0)))


def _in_words(atoms: Atoms, other: Atoms) -> str:
    """What another choice of elements would change."""
    changed = np.any(atoms.occupancy != other.occupancy, axis=1)
    present = (atoms.occupancy[changed] + other.occupancy[changed]).sum(axis=0) > 0
    names = " and ".join(e for e, here in zip(atoms.elements, present, strict=True) if here)
    if is_mixed(other):
        return f"{names} mixed on their positions"
    return f"{names} ordered" if is_mixed(atoms) else f"{names} exchanged"
