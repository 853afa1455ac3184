"""Deviations of refined parameters from the truth in units of their standard uncertainties.

A refined structure may lie anywhere in the normaliser of its group. The comparison says where each true position is in
it; the deviation is then taken back to the refined site itself, on the axes that its s.u.s belong to.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pipeline.refinement.parameters import parametrise
from pipeline.types import Refinement
from twin.model.crystal import Crystal
from twin.physics.lattice import Floats
from twin.physics.symmetry import operations
from validation.compare import compare_structures

_SAME = 1e-3  # fractional; a displaced position and its image agree better than this


@dataclass(frozen=True, slots=True, kw_only=True)
class Pull:
    """One free parameter: its name, and refined minus true value and s.u. in Å (coordinates) or as it is (others)."""

    name: str
    deviation: float
    uncertainty: float

    @property
    def value(self) -> float:
        """Deviation in units of the s.u."""
        return self.deviation / self.uncertainty


def mean_square(pulls: tuple[Pull, ...]) -> float | None:
    """Mean square of the pulls; 1 on average when the s.u.s are right. None without any."""
    return float(np.mean([p.value**2 for p in pulls])) if pulls else None


def coordinate_pulls(*, reference: Crystal, refinement: Refinement) -> tuple[Pull, ...]:
    """Pulls of the coordinates that symmetry leaves free; empty when the structures cannot be laid on each other."""
    refined = refinement.crystal
    try:
        match = compare_structures(reference, refined)
    except ValueError:
        return ()
    if not match.same_space_group or match.hand_inverted:
        return ()
    lengths = dict(zip("xyz", refined.cell.parameters[:3], strict=True))
    free = {name for name in parametrise(refined).names if name[-1] in lengths and name[-2] == "."}
    true_sites = {site.label: site for site in reference.sites}
    sites = {site.label: site for site in refined.sites}
    pulls = []
    for pair in match.sites:
        label = pair.other_label.split("/")[0]
        deviation = _on_own_axes(
            np.array(sites[label].fract),
            np.array(true_sites[pair.label.split("/")[0]].fract),
            np.array(pair.displacement_fract),
            hall=refined.hall,
            rotation=np.array(match.rotation),
            shift=np.array(match.origin_shift),
        )
        if deviation is None:
            continue
        for axis, moved in zip("xyz", deviation, strict=True):
            su = refinement.standard_uncertainties.get(f"{label}.{axis}", 0.0)
            if f"{label}.{axis}" in free and su > 0:
                scale = lengths[axis]
                pulls.append(Pull(name=f"{label}.{axis}", deviation=float(moved) * scale, uncertainty=su * scale))
    return tuple(pulls)


def _on_own_axes(
    fract: Floats, true_fract: Floats, displacement: Floats, *, hall: str, rotation: Floats, shift: Floats
) -> Floats | None:
    """Displacement (3,) of a refined site, by the operation of its group that takes it to where it was paired."""
    group = operations(hall)
    images = (group.rotations @ fract + group.translations) @ rotation.T + shift
    miss = images - (true_fract + displacement)
    miss = np.abs(miss - np.round(miss)).max(axis=1)
    best = int(np.argmin(miss))
    if miss[best] > _SAME:
        return None
    return np.asarray(np.linalg.solve(rotation @ group.rotations[best], displacement))


def occupancy_pulls(*, reference: Crystal, refinement: Refinement) -> tuple[Pull, ...]:
    """Pulls of refined occupancies, one for each element of a position where any was refined."""
    try:
        match = compare_structures(reference, refinement.crystal)
    except ValueError:
        return ()
    refined = {site.label: site for site in refinement.crystal.sites}
    pulls = []
    for pair in match.sites:
        true = {s.element: s.occupancy for s in reference.sites if s.label in pair.label.split("/")}
        for label in pair.other_label.split("/"):
            su = refinement.standard_uncertainties.get(f"{label}.occupancy", 0.0)
            site = refined[label]
            if su > 0:
                deviation = site.occupancy - true.get(site.element, 0.0)
                pulls.append(Pull(name=f"{label}.occupancy", deviation=deviation, uncertainty=su))
    return tuple(pulls)

