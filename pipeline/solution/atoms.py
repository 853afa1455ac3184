"""From a phased density to atoms: strong scatterers first, subtracted from the map before the weaker are looked for.

The cell's content (formula units × composition) and the multiplicities of the positions decide how many; distances
decide where not.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np

from pipeline.solution.composition import least_distance_angstrom
from pipeline.solution.elements import finish, mixture
from pipeline.solution.flipping import Complexes, density
from pipeline.solution.model import Atoms, Fit, refine
from pipeline.solution.peaks import PeakList, distances, find_peaks, orbit_of
from pipeline.solution.workspace import Model, Workspace, difference, model_map, unexplained
from twin.physics.lattice import Floats
from twin.physics.symmetry import Operations, operations

START_U_ANGSTROM2 = 0.006
MOST_PEAKS, SEARCH_BUDGET = 16, 4000
CHOICES, CHOICES_LAST = 2, 4
ENOUGH_R = 0.10


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
    most = max(MOST_PEAKS, round(1.4 * need / len(ops)) + 6)
    own = least_distance_angstrom(space.kinds[kind], space.kinds[kind])
    apart = {
        (i, j): bool(distances(peaks.fract[j], images[i], space.direct).min() >= own)
        for i, j in itertools.combinations(order[:most], 2)
    }
    found: list[tuple[int, ...]] = []
    budget = [SEARCH_BUDGET]

    def search(start: int, left: int, chosen: tuple[int, ...]) -> None:
        if left == 0:
            found.append(chosen)
            return
        for position in range(start, min(len(order), most)):
            i = order[position]
            budget[0] -= 1
            if budget[0] < 0:
                return
            if int(peaks.multiplicity[i]) <= left and all(apart[(j, i)] for j in chosen):
                search(position + 1, left - int(peaks.multiplicity[i]), (*chosen, i))

    search(0, need, ())
    content = [-float(peaks.height[list(c)] @ peaks.multiplicity[list(c)]) for c in found]
    return [found[k] for k in np.argsort(content, kind="stable")[:keep]]


def _atoms(partial: Partial, space: Workspace) -> Atoms:
    return Atoms(
        fract=np.array(partial.fract).reshape(-1, 3), multiplicity=np.array(partial.multiplicity, dtype=np.int64),
        kind=np.array(partial.kind, dtype=np.int64), elements=space.elements,
        occupancy=np.array([mixture(space.kinds[k], space.elements) for k in partial.kind]),
        u_iso_angstrom2=np.full(len(space.kinds), START_U_ANGSTROM2),
    )  # fmt: skip


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
    needs = [
        round(scatterers.total * formula_units)
        - sum(m for m, kind in zip(held.multiplicity, held.kind, strict=True) if kind == k)
        for k, scatterers in enumerate(space.kinds)
    ]
    for k, need in enumerate(needs):
        if need <= 0:
            continue
        last = k == max(i for i, missing in enumerate(needs) if missing > 0)
        grown: list[Partial] = []
        for partial in partials:
            current = _atoms(partial, space) if partial.fract else None
            rho = density(space.grid, difference(space, phased, current))
            wanted = min(60, 12 + 3 * (need // max(1, len(ops)) + 1))
            peaks = find_peaks(rho, basis=space.basis, ops=ops, direct=space.direct, wanted=wanted)
            for chosen in _fillings(peaks, need=need, kind=k, space=space, placed=partial, ops=ops,
                                    keep=CHOICES_LAST if last else CHOICES):  # fmt: skip
                grown.append(partial.with_peaks(peaks, chosen, k, ops))
        partials = grown[: 2 * CHOICES_LAST]
    return [_atoms(p, space) for p in partials]


def ranked_fits(space: Workspace, phased: Complexes, trials: list[Atoms]) -> list[Fit]:
    """Trials after a short refinement, those that explain amplitudes and map best first."""
    fits = [refine(space.unique, atoms, f_obs=space.f_obs, direct=space.direct, cycles=6) for atoms in trials]
    return sorted(fits, key=lambda fit: fit.r + 0.5 * unexplained(space, phased, fit.atoms))


def build_model(space: Workspace, phased: Complexes, *, formula_units: int) -> Model | None:
    """Place, refine shortly, look again with the model's phases where that helps, and choose the elements."""
    best: Model | None = None
    current = phased
    for turn in range(3):
        before = 1.0 if best is None else best.r
        ranked = ranked_fits(space, phased, place_atoms(space, current, formula_units=formula_units))
        for fit in ranked[:2]:
            model = finish(space, phased, fit.atoms, formula_units)
            if best is None or model.figure < best.figure:
                best = model
        if best is None or best.r < ENOUGH_R or (turn and best.r > 0.98 * before):
            break
        current = model_map(space, best.atoms, strong_only=turn == 0 and len(space.kinds) > 1)
    return best
