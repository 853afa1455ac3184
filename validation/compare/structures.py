"""How far apart are two descriptions of a structure? After origin, setting and hand match, as COMPSTRU does it.

Method and descriptors: de la Flor, Orobengoa, Tasci, Perez-Mato & Aroyo, J. Appl. Cryst. 49 (2016) 653; similarity
measure: Bergerhoff, Berndt, Brandenburg & Degen, Acta Cryst. B55 (1999) 147.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal

import gemmi
import numpy as np

from twin.model.crystal import Crystal, Site
from twin.physics.lattice import Floats, Ints
from twin.physics.symmetry import is_centrosymmetric
from validation.compare.frame import Frame, cell_of, frame
from validation.compare.normaliser import (
    Shifts,
    distinct_matches,
    lattice_matches,
    lattice_strain,
    origin_shifts,
)
from validation.compare.pairing import Pairing, compatibility, pair, quick_score, starting_shifts

PAIRING_LIMIT_ANGSTROM = {"best": 1.0, "bcs": 2.5}
STRAIN_SLACK = {"best": 0.02, "bcs": 1e-4}


@dataclass(frozen=True, slots=True, kw_only=True)
class SiteMatch:
    """A reference position and its partner. displacement: u = x(other) − x(reference) in the reference's cell."""

    label: str
    other_label: str
    element: str
    multiplicity: int
    displacement_fract: tuple[float, float, float]
    distance_angstrom: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """What COMPSTRU prints, and what was not there.

    mean, max and rms over paired atoms, in the reference's cell (nan where nothing pairs). The map is
    x_reference = rotation · x_other + origin_shift on conventional fractional coordinates. ``lattice_distortion`` is S,
    ``similarity`` is Δ. ``transformed`` is the other structure in the reference's setting; None when nothing pairs.
    """

    mean_distance_angstrom: float
    max_distance_angstrom: float
    rms_distance_angstrom: float
    sites: tuple[SiteMatch, ...]
    missing: tuple[str, ...]
    spurious: tuple[str, ...]
    same_space_group: bool
    hand_inverted: bool
    rotation: tuple[tuple[float, float, float], ...]
    origin_shift: tuple[float, float, float]
    lattice_distortion: float
    similarity: float
    transformed: Crystal | None


def compare_structures(reference: Crystal, other: Crystal, *, mode: Literal["best", "bcs"] = "best") -> Comparison:
    """Compare two structures of the same (or enantiomorphic, or group–subgroup related) symmetry.

    mode "bcs": the affine-normaliser match with the closest cell parameters first, then the best pairing in the
    Euclidean normaliser, however far the atoms are (up to 2.5 Å). mode "best": among lattice matches that strain
    about as little, the map that pairs most atoms within 1 Å, then the least mean distance; the rest is listed.
    When the groups differ the atoms are compared without symmetry in the lattice that both have.
    """
    same = _same_type(reference.hall, other.hall)
    first, second = frame(reference), frame(other)
    found = _best_pairing(first, second, mode=mode) if same else None
    if found is None or (mode == "best" and len(found.pairs) < len(first.positions)):
        plain = _compare_plain(reference, other, mode=mode)
        if plain is not None and (found is None or plain[2].cost < found.cost - 1e-9):
            first, second, found = plain
    if found is None:
        return _nothing(first, second, same=same)
    return _assemble(reference, other, first, second, found, same=same)


def _compare_plain(reference: Crystal, other: Crystal, *, mode: str) -> tuple[Frame, Frame, Pairing] | None:
    for keep in (True, False):
        first = frame(reference, lattice_only=True, keep_centring=keep)
        second = frame(other, lattice_only=True, keep_centring=keep)
        found = _best_pairing(first, second, mode=mode)
        if found is not None:
            return first, second, found
    return None


def _same_type(hall1: str, hall2: str) -> bool:
    """Same space-group type, or the two halves of an enantiomorphic pair."""
    groups: list[Any] = [gemmi.find_spacegroup_by_ops(gemmi.symops_from_hall(hall)) for hall in (hall1, hall2)]
    if any(group is None for group in groups):
        return hall1 == hall2
    pairs = {76: 78, 91: 95, 92: 96, 144: 145, 151: 153, 152: 154, 169: 170, 171: 172, 178: 179, 180: 181, 212: 213}
    back = {b: a for a, b in pairs.items()}
    numbers = [back.get(group.number, group.number) for group in groups]
    return bool(numbers[0] == numbers[1])


def _maps(first: Frame, second: Frame, *, mode: str) -> list[tuple[Ints, Shifts]]:
    """Lattice matches with their origin shifts, only those of about the least strain, proper ones first."""
    matches = lattice_matches(first.primitive, second.primitive)
    matches = matches[np.argsort(-np.linalg.det(matches), kind="stable")]
    found = []
    for w in distinct_matches(first, matches):
        shifts = origin_shifts(first, second, w)
        if shifts is not None:
            found.append((_lattice_misfit(first, second, w, mode=mode), w, shifts))
    if not found:
        return []
    limit = min(misfit for misfit, _, _ in found) + STRAIN_SLACK[mode]
    return [(w, shifts) for misfit, w, shifts in found if misfit <= limit]


def _lattice_misfit(first: Frame, second: Frame, w: Ints, *, mode: str) -> float:
    """How badly W matches the lattices: the strain, or (bcs) the differences of the conventional cell parameters.

    COMPSTRU ranks by cell parameters: in its published example another match has the smaller strain.
    """
    image = second.primitive @ np.linalg.inv(w)
    if mode == "best":
        return lattice_strain(first.primitive, image)
    one = np.array(cell_of(first.conventional).parameters)
    two = np.array(cell_of(image @ np.linalg.inv(first.basis)).parameters)
    return float(np.linalg.norm(np.concatenate([two[:3] / one[:3] - 1.0, np.radians(two[3:] - one[3:])])))


def _best_pairing(first: Frame, second: Frame, *, mode: str) -> Pairing | None:
    allowed = compatibility(first, second)
    if not allowed.any():
        return None
    limit = PAIRING_LIMIT_ANGSTROM[mode]
    trials = [
        (quick_score(first, second, w=w, shift=s, allowed=allowed, limit_angstrom=limit), w, s, shifts)
        for w, shifts in _maps(first, second, mode=mode)
        for s in starting_shifts(first, second, w=w, shifts=shifts, allowed=allowed)
    ]
    trials.sort(key=lambda trial: trial[0])
    best: Pairing | None = None
    for bound, w, s, shifts in trials[:60]:
        polar = shifts.free.shape[1] > 0
        if best is not None and not polar and bound > best.cost:
            break
        result = pair(first, second, w=w, shift=s, shifts=shifts, allowed=allowed, limit_angstrom=limit)
        if best is None or result.cost < best.cost - 1e-9:
            best = result
    return best if best is not None and len(best.pairs) else None


def _assemble(
    reference: Crystal, other: Crystal, first: Frame, second: Frame, found: Pairing, *, same: bool
) -> Comparison:
    weight = first.multiplicity[found.pairs[:, 0]].astype(np.float64)
    rotation = first.basis @ found.w @ np.linalg.inv(second.basis)
    shift = first.basis @ found.shift
    taken1, taken2 = (set(found.pairs[:, k].tolist()) for k in (0, 1))
    image = second.conventional @ np.linalg.inv(rotation)
    centric = is_centrosymmetric(reference.hall) or is_centrosymmetric(other.hall)
    return Comparison(
        mean_distance_angstrom=float(weight @ found.distance / weight.sum()),
        max_distance_angstrom=float(found.distance.max()),
        rms_distance_angstrom=float(np.sqrt(weight @ found.distance**2 / weight.sum())),
        sites=_site_table(first, second, found),
        missing=_unpaired(first, taken1),
        spurious=_unpaired(second, taken2),
        same_space_group=same,
        hand_inverted=bool(np.linalg.det(rotation) < 0 and not centric),
        rotation=tuple((float(r[0]), float(r[1]), float(r[2])) for r in rotation),
        origin_shift=(float(shift[0] % 1.0), float(shift[1] % 1.0), float(shift[2] % 1.0)),
        lattice_distortion=lattice_strain(first.conventional, image),
        similarity=_bergerhoff(first, image, found, weight),
        transformed=_transformed(other, reference, rotation, shift, image) if same else None,
    )


def _site_table(first: Frame, second: Frame, found: Pairing) -> tuple[SiteMatch, ...]:
    """One row for each reference position (the farthest of its atoms, where these were compared one by one)."""
    rows: dict[str, SiteMatch] = {}
    for (i, j), u, distance in zip(found.pairs, found.displacement, found.distance, strict=True):
        position = first.positions[i]
        conventional = first.basis @ u
        atoms = sum(int(first.multiplicity[k]) for k, p in enumerate(first.positions) if p.label == position.label)
        row = SiteMatch(
            label=position.label, other_label=second.positions[j].label,
            element="/".join(element for element, _ in position.occupancies), multiplicity=atoms,
            displacement_fract=(float(conventional[0]), float(conventional[1]), float(conventional[2])),
            distance_angstrom=float(distance),
        )  # fmt: skip
        if position.label not in rows or rows[position.label].distance_angstrom < row.distance_angstrom:
            rows[position.label] = row
    return tuple(rows.values())


def _unpaired(structure: Frame, taken: set[int]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(p.label for k, p in enumerate(structure.positions) if k not in taken))


def _bergerhoff(first: Frame, image: Floats, found: Pairing, weight: Floats) -> float:
    """Δ = (√2 D_c + 1) D_d − 1 from fractional differences and axial ratios."""
    deviation = np.linalg.norm(found.displacement @ first.basis.T, axis=1)
    mean = float(weight @ deviation / weight.sum())
    ratios = []
    for direct in (first.conventional, image):
        a, b, c = np.linalg.norm(direct, axis=0)
        ratios.append(float(b * c / a**2))
    quotient = ratios[0] / ratios[1]
    return float((math.sqrt(2.0) * mean + 1.0) * max(quotient, 1.0 / quotient) - 1.0)


def _transformed(other: Crystal, reference: Crystal, rotation: Floats, shift: Floats, image: Floats) -> Crystal:
    sites = []
    for site in other.sites:
        x = (rotation @ np.array(site.fract) + shift) % 1.0
        sites.append(Site(label=site.label, element=site.element, fract=(float(x[0]), float(x[1]), float(x[2])),
                          occupancy=site.occupancy, u_iso_angstrom2=site.u_iso_angstrom2))  # fmt: skip
    return Crystal(name=other.name, cell=cell_of(image), hall=reference.hall, sites=tuple(sites))


def _nothing(first: Frame, second: Frame, *, same: bool) -> Comparison:
    nan = math.nan
    return Comparison(
        mean_distance_angstrom=nan, max_distance_angstrom=nan, rms_distance_angstrom=nan, sites=(),
        missing=_unpaired(first, set()), spurious=_unpaired(second, set()), same_space_group=same,
        hand_inverted=False, rotation=((1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0)),
        origin_shift=(0.0, 0.0, 0.0), lattice_distortion=nan, similarity=nan, transformed=None,
    )  # fmt: skip
