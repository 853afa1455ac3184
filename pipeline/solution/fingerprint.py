"""Are two models one structure? The distances between their atoms say so whatever the origin and the hand."""

from __future__ import annotations

import numpy as np

from pipeline.solution.model import Atoms
from pipeline.solution.peaks import orbit_of
from twin.physics.lattice import Floats
from twin.physics.symmetry import operations

REACH_ANGSTROM, STEP_ANGSTROM = 5.0, 0.1
ALIKE = 0.12  # share of the histograms' content that may differ
_IMAGES = np.stack(np.meshgrid(*[np.arange(-2, 3)] * 3, indexing="ij"), axis=-1).reshape(-1, 3)


def distance_histograms(atoms: Atoms, *, hall: str, direct: Floats) -> Floats:
    """Numbers of distances up to 5 Å by pair of elements, (elements, elements, bins), each site with its multiplicity.

    Images on special positions repeat: both models are counted alike, so ratios hold.
    """
    ops = operations(hall)
    bins = round(REACH_ANGSTROM / STEP_ANGSTROM)
    found = np.zeros((len(atoms.elements), len(atoms.elements), bins))
    images = [orbit_of(x, ops) for x in atoms.fract]
    for i, x in enumerate(atoms.fract):
        for j, others in enumerate(images):
            away = (others - x)[:, None, :] - np.floor(others - x)[:, None, :] + _IMAGES
            length = np.linalg.norm(away.reshape(-1, 3) @ direct.T, axis=1)
            at = length[(length > 0.3) & (length < REACH_ANGSTROM - STEP_ANGSTROM)] / STEP_ANGSTROM
            low = at.astype(np.int64)
            share = at - low
            count = np.bincount(low, weights=1.0 - share, minlength=bins + 1)
            count[1:] += np.bincount(low, weights=share, minlength=bins + 1)[:-1]
            weight = atoms.multiplicity[i] * atoms.multiplicity[j] / len(ops)
            found += weight * atoms.occupancy[i][:, None, None] * atoms.occupancy[j][None, :, None] * count[:bins]
    return found


def same_structure(first: Atoms, second: Atoms, *, hall: str, direct: Floats) -> bool:
    """Whether the interatomic distances of two models in one group agree to about 0.1 Å."""
    one, two = (distance_histograms(a, hall=hall, direct=direct) for a in (first, second))
    return float(np.abs(one - two).sum()) < ALIKE * float(one.sum() + two.sum())
