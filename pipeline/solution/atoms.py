"""From a phased density to atoms: strong scatterers first, subtracted from the map before the weaker are looked for.

The cell's content (formula units × composition) and the multiplicities of the positions decide how many; distances
decide where not.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipeline.solution.composition import Scatterers, least_distance_angstrom
from pipeline.solution.flipping import Complexes, Grid, density
from pipeline.solution.model import Atoms, Design, r_factor, refine, structure_factors_of
from pipeline.solution.peaks import PeakList, distances, find_peaks, orbit_of
from twin.physics.lattice import Floats, Ints
from twin.physics.symmetry import Operations, operations

START_U_ANGSTROM2 = 0.006


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


def _fill(
    peaks: PeakList, *, need: int, kind: int, space: Workspace, placed: list[tuple[Floats, int]], ops: Operations,
    tries: int = 400,
) -> list[int]:  # fmt: skip
    """Peaks whose multiplicities sum to ``need``: the first combination, highest peaks first, that keeps its distances."""
    own = least_distance_angstrom(space.kinds[kind], space.kinds[kind])
    count = len(peaks.height)
    allowed: list[int] = []
    orbits: dict[int, Floats] = {}
    for i in range(count):
        images = orbit_of(peaks.fract[i], ops)
        others = distances(peaks.fract[i], images, space.direct)
        if np.any((others > 0.02) & (others < own)):
            continue
        if any(
            distances(peaks.fract[i], taken, space.direct).min() < least_distance_angstrom(space.kinds[kind], space.kinds[k])
            for taken, k in placed
        ):
            continue
        orbits[i] = images
        allowed.append(i)
    budget = [tries]

    def search(start: int, left: int, chosen: list[int]) -> list[int] | None:
        if left == 0:
            return chosen
        for position in range(start, len(allowed)):
            i = allowed[position]
            if int(peaks.multiplicity[i]) > left:
                continue
            budget[0] -= 1
            if budget[0] < 0:
                return None
            if any(distances(peaks.fract[i], orbits[j], space.direct).min() < own for j in chosen):
                continue
            found = search(position + 1, left - int(peaks.multiplicity[i]), [*chosen, i])
            if found is not None:
                return found
        return None

    return search(0, need, []) or []


def _mixture(kind: Scatterers, elements: tuple[str, ...]) -> Floats:
    row = np.zeros(len(elements))
    for element, count in zip(kind.elements, kind.counts, strict=True):
        row[elements.index(element)] = count / kind.total
    return row


def _atoms(fract: list[Floats], multiplicity: list[int], kind: list[int], space: Workspace) -> Atoms:
    kinds = len(space.kinds)
    return Atoms(
        fract=np.array(fract).reshape(-1, 3), multiplicity=np.array(multiplicity, dtype=np.int64),
        kind=np.array(kind, dtype=np.int64), elements=space.elements,
        occupancy=np.array([_mixture(space.kinds[k], space.elements) for k in kind]).reshape(-1, len(space.elements)),
        u_iso_angstrom2=np.full(kinds, START_U_ANGSTROM2),
    )  # fmt: skip


def _difference(space: Workspace, phased: Complexes, atoms: Atoms | None, *, share: float) -> Complexes:
    """Map coefficients F_obs e^{iφ} − k F_model; ``share``: part of the scattering that the model is expected to hold."""
    if atoms is None:
        return phased
    model = structure_factors_of(space.half, atoms)
    use = space.measured
    overlap = float(np.real(np.vdot(model[use], phased[use]))) / max(float(np.vdot(model[use], model[use]).real), 1e-30)
    return np.asarray(np.where(use, phased - max(overlap, 0.0) * model, 0.0))


def place_atoms(space: Workspace, phased: Complexes, *, formula_units: int) -> Atoms | None:
    """All atoms of the composition, class by class; None when a class cannot be filled."""
    ops = operations(space.hall)
    fract: list[Floats] = []
    multiplicity: list[int] = []
    kind: list[int] = []
    placed: list[tuple[Floats, int]] = []
    for k, scatterers in enumerate(space.kinds):
        need = round(scatterers.total * formula_units)
        current = _atoms(fract, multiplicity, kind, space) if fract else None
        rho = density(space.grid, _difference(space, phased, current, share=1.0))
        wanted = min(60, 12 + 3 * (need // max(1, len(ops)) + 1))
        peaks = find_peaks(rho, basis=space.basis, ops=ops, direct=space.direct, wanted=wanted)
        chosen = _fill(peaks, need=need, kind=k, space=space, placed=placed, ops=ops)
        if not chosen:
            return None
        for i in chosen:
            fract.append(peaks.fract[i])
            multiplicity.append(int(peaks.multiplicity[i]))
            kind.append(k)
            placed.append((orbit_of(peaks.fract[i], ops), k))
    return _atoms(fract, multiplicity, kind, space)


def _unexplained(space: Workspace, phased: Complexes, atoms: Atoms) -> float:
    """Σ|F_o e^{iφ} − k F_c|² / Σ|F_o|² over measured reflections of the map that gave the atoms."""
    left = _difference(space, phased, atoms, share=1.0)[space.measured]
    total = float(np.vdot(phased[space.measured], phased[space.measured]).real)
    return float(np.vdot(left, left).real) / max(total, 1e-30)


def _ordered_choices(atoms: Atoms, space: Workspace, formula_units: int) -> list[Floats]:
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
    for _ in range(2):
        atoms = place_atoms(space, current, formula_units=formula_units)
        if atoms is None:
            break
        model = _finish(space, phased, atoms, formula_units)
        if best is None or model.r < best.r:
            best = model
        if best.r < 0.2:
            break
        calculated = structure_factors_of(space.half, best.atoms)
        size = np.abs(calculated)
        _, scale = r_factor(space.half_f_obs[space.measured], size[space.measured])
        boosted = np.maximum(2.0 * space.half_f_obs - scale * size, 0.0)
        current = np.where(space.measured, boosted * calculated / np.maximum(size, 1e-12), 0.0)
    return best


def _finish(space: Workspace, phased: Complexes, atoms: Atoms, formula_units: int) -> Model:
    found: list[tuple[float, Atoms]] = []
    for table in _ordered_choices(atoms, space, formula_units)[:40]:
        trial = Atoms(fract=atoms.fract, multiplicity=atoms.multiplicity, kind=atoms.kind, elements=atoms.elements,
                      occupancy=table, u_iso_angstrom2=atoms.u_iso_angstrom2)  # fmt: skip
        refined, r = refine(space.unique, trial, f_obs=space.f_obs, direct=space.direct)
        found.append((r, refined))
    r, refined = min(found, key=lambda item: item[0])
    return Model(atoms=refined, r=r, residual=_unexplained(space, phased, refined), formula_units=formula_units)


def unique_rows(number: Ints, measured: NDArray[np.bool_]) -> Ints:
    """Index of one measured reflection of each class of equivalents."""
    rows = np.flatnonzero(measured)
    _, first = np.unique(number[rows], return_index=True)
    return np.asarray(rows[first], dtype=np.int64)
