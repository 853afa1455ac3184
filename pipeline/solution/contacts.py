"""Distances that a model must keep."""

from __future__ import annotations

import itertools

import numpy as np

from pipeline.solution.composition import least_distance_angstrom
from pipeline.solution.model import Atoms
from pipeline.solution.peaks import distances, orbit_of
from pipeline.solution.workspace import Workspace
from twin.physics.symmetry import operations


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
