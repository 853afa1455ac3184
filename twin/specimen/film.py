"""Amorphous carbon as atoms: random positions that keep a least distance, periodic across the beam.

Random sequential addition (Widom, J. Chem. Phys. 44 (1966) 3888), positions kept in a mesh of cubes so small that each
holds one atom at most. It has the density and the excluded volume of the film, not its bonds: the first ring of its
S(q) is broader than that of real carbon.
"""

from __future__ import annotations

import math
from typing import Any

import ase
import numpy as np
from numba import njit
from numpy.typing import NDArray
from scipy import constants

from twin.physics.lattice import Floats, Ints

CARBON_DENSITY_G_CM3 = 1.75  # Wanner et al. 2006, evaporated films
CARBON_DISTANCE_ANGSTROM = 1.42  # the bond length of graphite
_CARBON_DALTON = 12.011
_REACH = 2  # cubes of d/√3 that a sphere of radius d reaches: ceil(√3)


def carbon_film(
    *,
    extent_angstrom: float,
    thickness_angstrom: float,
    generator: np.random.Generator,
    density_g_cm3: float = CARBON_DENSITY_G_CM3,
    distance_angstrom: float = CARBON_DISTANCE_ANGSTROM,
    u_iso_angstrom2: float = 0.006,
) -> Any:
    """``ase.Atoms`` of a film over a square field centred at x = y = 0, z from 0 to the thickness."""
    per_angstrom3 = density_g_cm3 / (_CARBON_DALTON * constants.atomic_mass * 1e3) * 1e-24
    count = round(per_angstrom3 * extent_angstrom**2 * thickness_angstrom)
    packed = math.pi / 6 * distance_angstrom**3 * per_angstrom3
    if packed > 0.3:
        raise ValueError(
            f"a density of {density_g_cm3:g} g/cm3 leaves no room for a distance of {distance_angstrom:g} Å:"
            f" random addition fills 30 % of the volume, this asks for {100 * packed:.0f} %"
        )
    box = np.array([extent_angstrom, extent_angstrom, thickness_angstrom])
    position = _positions(count, box, distance_angstrom, generator)
    atoms: Any = ase.Atoms(f"C{count}", positions=position - np.array([0.5, 0.5, 0.0]) * extent_angstrom)
    atoms.set_array("weight", np.ones(count))
    atoms.set_array("u_iso_angstrom2", np.full(count, u_iso_angstrom2))
    atoms.set_array("place", np.arange(count))
    atoms.set_array("spread", np.broadcast_to(math.sqrt(u_iso_angstrom2) * np.eye(3), (count, 3, 3)).copy())
    return atoms


def _positions(count: int, box: Floats, distance: float, generator: np.random.Generator) -> Floats:
    shape = np.maximum(np.ceil(box * math.sqrt(3.0) / distance), 1).astype(np.int64)
    shape[:2] = np.maximum(shape[:2], 2 * _REACH + 1)
    mesh = np.full(shape, -1, dtype=np.int64)
    position = np.empty((count, 3))
    done = 0
    while done < count:
        trial = generator.random((max(256, 2 * (count - done)), 3)) * box
        done = _add(position, done, mesh, trial, box, distance**2)
    return position


@njit(cache=True)
def _add(
    position: Floats,
    done: int,
    mesh: Ints,
    trial: NDArray[np.float64],
    box: Floats,
    d2: float,
) -> int:
    """Accept those of ``trial`` that are far enough from all others; how many there are then."""
    nx, ny, nz = mesh.shape
    for t in range(len(trial)):
        if done == len(position):
            break
        i = min(int(trial[t, 0] / box[0] * nx), nx - 1)
        j = min(int(trial[t, 1] / box[1] * ny), ny - 1)
        k = min(int(trial[t, 2] / box[2] * nz), nz - 1)
        free = True
        for a in range(i - _REACH, i + _REACH + 1):
            for b in range(j - _REACH, j + _REACH + 1):
                for c in range(max(0, k - _REACH), min(nz, k + _REACH + 1)):
                    other = mesh[a % nx, b % ny, c]
                    if other >= 0:
                        dx = trial[t, 0] - position[other, 0]
                        dy = trial[t, 1] - position[other, 1]
                        dx -= box[0] * np.round(dx / box[0])
                        dy -= box[1] * np.round(dy / box[1])
                        dz = trial[t, 2] - position[other, 2]
                        if dx * dx + dy * dy + dz * dz < d2:
                            free = False
        if free:
            position[done] = trial[t]
            mesh[i, j, k] = done
            done += 1
    return done
