"""From a phased density to atoms: strong scatterers first, subtracted from the map before the weaker are looked for.

The cell's content (formula units × composition) and the multiplicities of the positions decide how many; distances
decide where not.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from pipeline.solution.composition import Scatterers, least_distance_angstrom
from pipeline.solution.flipping import Complexes, Grid, density
from pipeline.solution.model import Atoms, Design, r_factor, refine, site_factors, structure_factors_of
from pipeline.solution.peaks import PeakList, distances, find_peaks, orbit_of
from twin.physics.lattice import Floats, Ints
from twin.physics.symmetry import Operations, operations

START_U_ANGSTROM2 = 0.006
MOST_PEAKS, SEARCH_BUDGET = 16, 4000
CHOICES, CHOICES_LAST = 2, 4
ENOUGH_R = 0.10


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Workspace:
    """Everything that a search for atoms in one setting needs.

    half: tables for the half-sphere of the density; unique: tables for one reflection of each Laue class, with f_obs.
    phased (n,): F_obs with phases; grid: for difference maps; basis: primitive vectors in conventional coordinates.
    """

    hall: str
    direct: Floats
    basis: Floats
    grid: Grid
    half: Design
    unique: Design
    f_obs: Floats
    half_f_obs: Floats
    measured: NDArray[np.bool_]
    kinds: tuple[Scatterers, ...]
    elements: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Model:
    """A complete model: atoms, R on |F| after a short refinement, the unexplained part of the phased map."""

    atoms: Atoms
    r: float
    residual: float
    formula_units: int
    runner_up_r: float = 1.0  # R of the second best way to give the positions their elements

    @property
    def figure(self) -> float:
        """Lower is better. R alone does not know an origin that the map does not have, nor a homometric model."""
        return self.r + 0.5 * self.residual


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Partial:
    """Positions placed so far: coordinates, multiplicities, class numbers, and all their images."""

    fract: tuple[Floats, ...] = ()
    multiplicity: tuple[int, ...] = ()
    kind: tuple[int, ...] = ()
    images: tuple[Floats, ...] = ()

    def with_peaks(self, peaks: PeakList, chosen: tuple[int, ...], kind: int, ops: Operations) -> Partial:
        return Partial(
            fract=self.fract + tuple(peaks.fract[i] for i in chosen),
            multiplicity=self.multiplicity + tuple(int(peaks.multiplicity[i]) for i in chosen),
            kind=self.kind + (kind,) * len(chosen),
            images=self.images + tuple(orbit_of(peaks.fract[i], ops) for i in chosen),
        )


def _allowed(peaks: PeakList, *, kind: int, space: Workspace, placed: Partial, ops: Operations) -> dict[int, Floats]:
    """Peaks that keep their distance from their own images and from what is placed, with their images."""
    own = least_distance_angstrom(space.kinds[kind], space.kinds[kind])
    found: dict[int, Floats] = {}
    for i, x in enumerate(peaks.fract):
        images = orbit_of(x, ops)
        others = distances(x, images, space.direct)
        if np.any((others > 0.02) & (others < own)):
            continue
        limits = (least_distance_angstrom(space.kinds[kind], space.kinds[k]) for k in placed.kind)
        if all(
            distances(x, taken, space.direct).min() >= limit for taken, limit in zip(placed.images, limits, strict=True)
        ):
            found[i] = images
    return found


def _fillings(
    peaks: PeakList, *, need: int, kind: int, space: Workspace, placed: Partial, ops: Operations, keep: int
) -> list[tuple[int, ...]]:
    """Sets of peaks whose multiplicities sum to ``need`` and that keep their distances, most density first."""
    images = _allowed(peaks, kind=kind, space=space, placed=placed, ops=ops)
    order = list(images)
    own = least_distance_angstrom(space.kinds[kind], space.kinds[kind])
    apart = {
        (i, j): bool(distances(peaks.fract[j], images[i], space.direct).min() >= own)
        for i, j in itertools.combinations(order[:MOST_PEAKS], 2)
    }
    found: list[tuple[int, ...]] = []
    budget = [SEARCH_BUDGET]

    def search(start: int, left: int, chosen: tuple[int, ...]) -> None:
        if left == 0:
            found.append(chosen)
            return
        for position in range(start, min(len(order), MOST_PEAKS)):
            i = order[position]
            budget[0] -= 1
            if budget[0] < 0:
                return
            if int(peaks.multiplicity[i]) <= left and all(apart[(j, i)] for j in chosen):
                search(position + 1, left - int(peaks.multiplicity[i]), (*chosen, i))

    search(0, need, ())
    content = [-float(peaks.height[list(c)] @ peaks.multiplicity[list(c)]) for c in found]
    return [found[k] for k in np.argsort(content, kind="stable")[:keep]]


def least_distances_kept(space: Workspace, atoms: Atoms) -> bool:
    """Whether no two atoms of a model are closer than their classes may be."""
    ops = operations(space.hall)
    images = [orbit_of(x, ops) for x in atoms.fract]
    for i, j in itertools.combinations_with_replacement(range(len(images)), 2):
        limit = least_distance_angstrom(space.kinds[atoms.kind[i]], space.kinds[atoms.kind[j]])
        apart = distances(atoms.fract[i], images[j], space.direct)
        if np.any((apart > 0.02) & (apart < limit)) or (i != j and apart.min() <= limit):
            return False
    return True


def _mixture(kind: Scatterers, elements: tuple[str, ...]) -> Floats:
    row = np.zeros(len(elements))
    for element, count in zip(kind.elements, kind.counts, strict=True):
        row[elements.index(element)] = count / kind.total
    return row


def _atoms(partial: Partial, space: Workspace) -> Atoms:
    return Atoms(
        fract=np.array(partial.fract).reshape(-1, 3), multiplicity=np.array(partial.multiplicity, dtype=np.int64),
        kind=np.array(partial.kind, dtype=np.int64), elements=space.elements,
        occupancy=np.array([_mixture(space.kinds[k], space.elements) for k in partial.kind]),
        u_iso_angstrom2=np.full(len(space.kinds), START_U_ANGSTROM2),
    )  # fmt: skip


def _difference(space: Workspace, phased: Complexes, atoms: Atoms | None) -> Complexes:
    """Map coefficients F_obs e^{iφ} − k F_model with the scale k of the least squares."""
    if atoms is None:
        return phased
    model = structure_factors_of(space.half, atoms)
    use = space.measured
    overlap = float(np.real(np.vdot(model[use], phased[use]))) / max(float(np.vdot(model[use], model[use]).real), 1e-30)
    return np.asarray(np.where(use, phased - max(overlap, 0.0) * model, 0.0))


def _kept(atoms: Atoms | None, ops: Operations) -> Partial:
    if atoms is None:
        return Partial()
    return Partial(
        fract=tuple(atoms.fract), multiplicity=tuple(int(m) for m in atoms.multiplicity),
        kind=tuple(int(k) for k in atoms.kind), images=tuple(orbit_of(x, ops) for x in atoms.fract),
    )  # fmt: skip


def place_atoms(space: Workspace, phased: Complexes, *, formula_units: int, kept: Atoms | None = None) -> list[Atoms]:
    """Complete models, class by class, strongest scatterers first; several where the map leaves a choice.

    kept: atoms that stay where they are; what the cell's content leaves is looked for around them.
    """
    ops = operations(space.hall)
    held = _kept(kept, ops)
    partials = [held]
    for k, scatterers in enumerate(space.kinds):
        need = round(scatterers.total * formula_units)
        need -= sum(m for m, kind in zip(held.multiplicity, held.kind, strict=True) if kind == k)
        if need <= 0:
            continue
        last = k == len(space.kinds) - 1
        grown: list[Partial] = []
        for partial in partials:
            current = _atoms(partial, space) if partial.fract else None
            rho = density(space.grid, _difference(space, phased, current))
            wanted = min(60, 12 + 3 * (need // max(1, len(ops)) + 1))
            peaks = find_peaks(rho, basis=space.basis, ops=ops, direct=space.direct, wanted=wanted)
            for chosen in _fillings(peaks, need=need, kind=k, space=space, placed=partial, ops=ops,
                                    keep=CHOICES_LAST if last else CHOICES):  # fmt: skip
                grown.append(partial.with_peaks(peaks, chosen, k, ops))
        partials = grown[: 2 * CHOICES_LAST]
    return [_atoms(p, space) for p in partials]


def unexplained(space: Workspace, phased: Complexes, atoms: Atoms) -> float:
    """Σ|F_o e^{iφ} − k F_c|² / Σ|F_o|² over measured reflections of the map that gave the atoms."""
    left = _difference(space, phased, atoms)[space.measured]
    total = float(np.vdot(phased[space.measured], phased[space.measured]).real)
    return float(np.vdot(left, left).real) / max(total, 1e-30)


def ordered_choices(atoms: Atoms, space: Workspace, formula_units: int) -> list[Floats]:
    """Occupancy tables to compare: every class mixed, then every way to give its positions one element each."""
    choices = [atoms.occupancy]
    for k, scatterers in enumerate(space.kinds):
        sites = np.flatnonzero(atoms.kind == k)
        if len(scatterers.elements) < 2 or len(sites) < 2 or len(sites) > 8:
            continue
        targets = [round(c * formula_units) for c in scatterers.counts]
        for labels in itertools.product(range(len(targets)), repeat=len(sites)):
            counts = [int(atoms.multiplicity[sites[np.array(labels) == e]].sum()) for e in range(len(targets))]
            if counts != targets:
                continue
            table = atoms.occupancy.copy()
            for site, e in zip(sites, labels, strict=True):
                table[site] = 0.0
                table[site, space.elements.index(scatterers.elements[e])] = 1.0
            choices.append(table)
    return choices


def build_model(space: Workspace, phased: Complexes, *, formula_units: int) -> Model | None:
    """Place, refine shortly, look again with the model's phases where that helps, and choose the elements."""
    best: Model | None = None
    current = phased
    for turn in range(3):
        before = 1.0 if best is None else best.r
        trials = [
            refine(space.unique, atoms, f_obs=space.f_obs, direct=space.direct, cycles=6)
            for atoms in place_atoms(space, current, formula_units=formula_units)
        ]
        ranked = sorted(trials, key=lambda t: t[1] + 0.5 * unexplained(space, phased, t[0]))
        for atoms, _ in ranked[:2]:
            model = finish(space, phased, atoms, formula_units)
            if best is None or model.figure < best.figure:
                best = model
        if best is None or best.r < ENOUGH_R or (turn and best.r > 0.98 * before):
            break
        current = _model_map(space, best.atoms, strong_only=turn == 0 and len(space.kinds) > 1)
    return best


def _model_map(space: Workspace, atoms: Atoms, *, strong_only: bool) -> Complexes:
    """Map coefficients (2F_o − kF_c) with the model's phases, or F_o with the phases of its strongest class."""
    if strong_only:
        own = atoms.kind == 0
        calculated = site_factors(space.half, atoms)[0][own].sum(axis=0)
        amplitude = space.half_f_obs
    else:
        calculated = structure_factors_of(space.half, atoms)
        _, scale = r_factor(space.half_f_obs[space.measured], np.abs(calculated)[space.measured])
        amplitude = np.maximum(2.0 * space.half_f_obs - scale * np.abs(calculated), 0.0)
    size = np.abs(calculated)
    return np.asarray(np.where(space.measured, amplitude * calculated / np.maximum(size, 1e-12), 0.0))


def finish(space: Workspace, phased: Complexes, atoms: Atoms, formula_units: int) -> Model:
    """The best choice of elements, refined."""
    found: list[tuple[float, Atoms]] = []
    for table in ordered_choices(atoms, space, formula_units)[:40]:
        refined, r = refine(space.unique, replace(atoms, occupancy=table), f_obs=space.f_obs, direct=space.direct)
        found.append((r, refined))
    ranked = sorted(found, key=lambda item: item[0])
    r, refined = ranked[0]
    ordered = bool(np.all((refined.occupancy == 0.0) | (refined.occupancy == 1.0)))
    return Model(atoms=refined, r=r, residual=unexplained(space, phased, refined), formula_units=formula_units,
                 runner_up_r=ranked[1][0] if ordered and len(ranked) > 1 else 1.0)  # fmt: skip


def unique_rows(number: Ints, measured: NDArray[np.bool_]) -> Ints:
    """Index of one measured reflection of each class of equivalents."""
    rows = np.flatnonzero(measured)
    _, first = np.unique(number[rows], return_index=True)
    return np.asarray(rows[first], dtype=np.int64)
