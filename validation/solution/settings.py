"""A random structure in every setting of gemmi's tables, from noisy intensities to its group and atoms.

Four atoms (Ti, Si, two O) are put at random, on special positions where the cell would grow too large, with the
distances that atoms keep. A structure counts as one of its group only when no group of the same or a higher order comes
near its true phases: what is asked is whether the solver finds the group, not what a chance arrangement is.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from functools import partial
from math import gcd

import gemmi
import numpy as np

from pipeline.solution.groups import PhaseMap, primitive_basis, rank_groups
from pipeline.solution.laue import centring_of, conforming_cell
from pipeline.solution.peaks import distances, orbit_of
from pipeline.solution.spots import centring_allows
from twin.model.crystal import Cell, Crystal, Site
from twin.physics.lattice import Floats, direct_matrix, miller_indices, reciprocal_matrix
from twin.physics.structure_factors import structure_factors
from twin.physics.symmetry import Operations, laue_hall, operations
from validation.solution.conditions import simulated_data
from validation.solution.materials import U_ISO_ANGSTROM2, Material
from validation.solution.trial import Task, Trial

ELEMENTS = ("Ti", "Si", "O", "O")
MOST_ATOMS = 72  # of the cell, about
VOLUME_ANGSTROM3 = 17.0  # for each atom
NOISE, D_MIN_ANGSTROM = 0.1, 0.8
DRAWS, TRIES = 300, 80
OWN, OTHER = 0.9, 0.85  # agreement of the true phases with the group at least, with another at most
CONDITION, NOT_DRAWN = "random structure", "no structure was drawn"
FIRST_SEED = 3000  # seeds below it were used while the solver was made
_APART = {0: 2.4, 1: 1.6, 2: 2.15}  # Å, by the number of oxygen atoms in a pair


@dataclass(frozen=True, slots=True, kw_only=True)
class Places:
    """Operations and metric that random positions are drawn with."""

    ops: Operations
    direct: Floats

    def images(self, x: Floats) -> Floats:
        """Distinct images of a position; (n, 3)."""
        kept: list[Floats] = []
        for y in orbit_of(x, self.ops):
            if not kept or distances(y, np.array(kept), self.direct).min() > 1e-3:
                kept.append(y)
        return np.array(kept)

    def draw(self, rng: np.random.Generator) -> tuple[Floats, Floats]:
        """A position with its images: general, or on elements of symmetry until there are not too many of them."""
        x = rng.random(3)
        for _ in range(6):
            images = self.images(x)
            if len(images) <= MOST_ATOMS / 3:
                break
            k = int(rng.integers(1, len(self.ops)))
            away = np.eye(3) - self.ops.rotations[k]
            shift = self.ops.translations[k] + rng.integers(-1, 2, 3)
            y = x - np.linalg.pinv(away) @ (away @ x - shift)
            if np.abs(away @ y - shift).max() < 1e-6:
                x = y % 1.0
        return x, self.images(x)


@dataclass(frozen=True, slots=True, kw_only=True)
class SettingTask:
    """One setting of gemmi's table by its number: a structure is drawn, its data are solved."""

    number: int
    name: str

    @property
    def key(self) -> tuple[str, str, int]:
        return (self.name, CONDITION, FIRST_SEED + self.number)

    def run(self) -> Trial:
        """Where no structure can be drawn the verdict says so."""
        name, condition, seed = self.key
        material = random_structure(list(gemmi.spacegroup_table())[self.number], seed=seed)
        if material is None:
            nowhere = float("nan")
            return Trial(material=name, condition=condition, seed=seed, verdict=NOT_DRAWN, space_group="", right=False,
                         max_distance_angstrom=nowhere, missing=0, spurious=0, residual=1.0, cpu_s=0.0)  # fmt: skip
        data = partial(simulated_data, noise=NOISE, d_min=D_MIN_ANGSTROM)
        return Task(name=name, material=material, condition=condition, seed=seed, data=data).run()


def setting_tasks(*, every: int = 1) -> list[SettingTask]:
    """One for each setting, or for one in ``every``; of two choices of origin the one at the centre of inversion."""
    return [
        SettingTask(number=number, name=str(group.xhm()))
        for number, group in enumerate(gemmi.spacegroup_table())
        if number % every == 0 and not str(group.xhm()).endswith(":1")
    ]


def random_structure(group: gemmi.SpaceGroup, *, seed: int) -> Material | None:
    """A structure that has this group and no other; None when none of many draws has it."""
    for draw in range(DRAWS):
        found = _drawn(group, np.random.default_rng([seed, draw]))
        if found is not None and _is_of(found.crystal, group):
            return found
    return None


def _drawn(group: gemmi.SpaceGroup, rng: np.random.Generator) -> Material | None:
    hall = str(group.hall)
    ops = operations(hall)
    shape = _cell(laue_hall(hall), rng)
    start = Places(ops=ops, direct=direct_matrix(shape))
    counts = [len(start.draw(rng)[1]) for _ in ELEMENTS]
    scale = (VOLUME_ANGSTROM3 * sum(counts) / abs(np.linalg.det(start.direct))) ** (1 / 3)
    cell = _scaled(shape, scale)
    places = Places(ops=ops, direct=direct_matrix(cell))
    if min(cell.parameters[:3]) < 3.5:
        return None
    placed: list[tuple[str, Floats, Floats]] = []
    for element, count in zip(ELEMENTS, counts, strict=True):
        for _ in range(TRIES):
            x, images = places.draw(rng)
            if len(images) == count and _keeps_apart(element, x, images, placed, places.direct):
                placed.append((element, x, images))
                break
        else:
            return None
    content = Counter({e: 0 for e in ELEMENTS})
    for element, _, images in placed:
        content[element] += len(images)
    unit = gcd(*content.values())
    sites = tuple(
        Site(label=f"{element}{k}", element=element, fract=(float(x[0]), float(x[1]), float(x[2])), occupancy=1.0,
             u_iso_angstrom2=U_ISO_ANGSTROM2)
        for k, (element, x, _) in enumerate(placed)
    )  # fmt: skip
    return Material(crystal=Crystal(name=str(group.xhm()), cell=cell, hall=hall, sites=sites),
                    formula="".join(f"{e}{n // unit}" for e, n in content.items()), source="random")  # fmt: skip


def _cell(laue: str, rng: np.random.Generator) -> Cell:
    lengths, angles = np.array([8.0, 9.5, 11.0]) * (1.0 + 0.3 * rng.random(3)), rng.random(3)
    a, b, c = lengths.tolist()
    alpha, beta, gamma = (np.array([80.0, 95.0, 100.0]) + np.array([5.0, 8.0, 5.0]) * angles).tolist()
    return conforming_cell(Cell(a_angstrom=a, b_angstrom=b, c_angstrom=c, alpha_deg=alpha, beta_deg=beta,
                                gamma_deg=gamma), laue)  # fmt: skip


def _scaled(cell: Cell, factor: float) -> Cell:
    a, b, c, alpha, beta, gamma = cell.parameters
    return Cell(a_angstrom=factor * a, b_angstrom=factor * b, c_angstrom=factor * c, alpha_deg=alpha, beta_deg=beta,
                gamma_deg=gamma)  # fmt: skip


def _keeps_apart(
    element: str, x: Floats, images: Floats, placed: list[tuple[str, Floats, Floats]], direct: Floats
) -> bool:
    own = distances(x, images, direct)
    if np.any((own > 1e-3) & (own < _APART[2 * (element == "O")])):
        return False
    return all(distances(x, others, direct).min() >= _APART[(element == "O") + (name == "O")]
               for name, _, others in placed)  # fmt: skip


def _is_of(crystal: Crystal, group: gemmi.SpaceGroup) -> bool:
    """Whether the true phases agree with the group, and with no other type of the same or a higher order."""
    centring = centring_of(crystal.hall)
    reciprocal = reciprocal_matrix(crystal.cell)
    hkl = miller_indices(reciprocal=reciprocal, g_max_per_angstrom=1.0)[1:]
    hkl = hkl[centring_allows(hkl, centring)]
    phases = PhaseMap(hkl=np.rint(hkl @ primitive_basis(centring)).astype(np.int64),
                      f=structure_factors(crystal=crystal, hkl=hkl),
                      g=np.linalg.norm(hkl @ reciprocal.T, axis=1))  # fmt: skip
    found = rank_groups(phases=phases, laue=laue_hall(crystal.hall), centring=centring, agreement_limit=0.3, keep=500)
    own = [c for c in found if c.setting.number == group.number]
    order = max((c.order for c in own), default=0)
    return max((c.agreement for c in own), default=0.0) > OWN and all(
        c.agreement < OTHER for c in found if c.order >= order and c.setting.number != group.number
    )
