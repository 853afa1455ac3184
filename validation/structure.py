"""Solved and refined structures against the true one, in the few numbers that summary and report need."""

from __future__ import annotations

from dataclasses import dataclass

from twin.model.crystal import Crystal


@dataclass(frozen=True, slots=True, kw_only=True)
class SiteDeviation:
    """Distance of one position of the reference's asymmetric unit from its counterpart, Å."""

    label: str
    element: str
    distance_angstrom: float


@dataclass(frozen=True, slots=True, kw_only=True)
class StructureScore:
    """Distances after origin, setting and hand match; the mean is weighted with the multiplicities."""

    mean_distance_angstrom: float
    max_distance_angstrom: float
    sites: tuple[SiteDeviation, ...]
    missing_atoms: int
    spurious_atoms: int
    space_group_correct: bool


def score_structure(*, reference: Crystal, other: Crystal) -> StructureScore | None:
    """COMPSTRU-like score; None when the two cannot be laid onto each other at all."""
    from validation.compare import compare_structures

    try:
        result = compare_structures(reference, other)
    except ValueError:
        return None
    return StructureScore(
        mean_distance_angstrom=float(result.mean_distance_angstrom),
        max_distance_angstrom=float(result.max_distance_angstrom),
        sites=tuple(
            SiteDeviation(label=s.label, element=s.element, distance_angstrom=float(s.distance_angstrom))
            for s in result.sites
        ),
        missing_atoms=len(result.missing),
        spurious_atoms=len(result.spurious),
        space_group_correct=bool(result.same_space_group),
    )
