"""A model as a crystal: labelled sites, starting displacement parameters."""

from __future__ import annotations

import numpy as np

from pipeline.solution.atoms import Model
from pipeline.solution.flipping import density, make_grid
from pipeline.solution.spots import Spots
from twin.model.crystal import Cell, Crystal, Site
from twin.physics.lattice import Floats
from twin.physics.structure_factors import structure_factors
from twin.physics.symmetry import orbit

START_U_ISO_ANGSTROM2 = 0.005


def to_crystal(model: Model, *, hall: str, cell: Cell, name: str) -> Crystal:
    """Sites labelled Ti1, O1, ... in the order of the classes; a mixed position carries one site for each element."""
    counters: dict[str, int] = {}
    sites: list[Site] = []
    atoms = model.atoms
    for fract, occupancy in zip(atoms.fract, atoms.occupancy, strict=True):
        x = _representative(fract, hall)
        present = [(e, float(o)) for e, o in zip(atoms.elements, occupancy, strict=True) if o > 0]
        number = max(counters.get(element, 0) for element, _ in present) + 1
        for element, share in present:
            counters[element] = number
            sites.append(Site(label=f"{element}{number}", element=element, fract=x, occupancy=share,
                              u_iso_angstrom2=START_U_ISO_ANGSTROM2))  # fmt: skip
    return Crystal(name=name, cell=cell, hall=hall, sites=tuple(sites))


def model_phased_density(spots: Spots, crystal: Crystal) -> Floats:
    """Σ F_obs exp(i φ_model) exp(−2πi h·x) over the conventional cell on a grid of about d_min/4; (u, v, w)."""
    grid = make_grid(spots.hkl, oversampling=1.9)
    phases = np.angle(structure_factors(crystal=crystal, hkl=spots.hkl))
    return density(grid, np.where(spots.measured, np.sqrt(spots.intensity), 0.0) * np.exp(1j * phases))


def _representative(fract: np.ndarray[tuple[int, ...], np.dtype[np.float64]], hall: str) -> tuple[float, float, float]:
    """The image nearest to the origin's corner of the cell (coordinates in [0, 1))."""
    images = np.round(orbit(fract, hall), 12) % 1.0
    best = images[np.argmin(np.round(images.sum(axis=1), 9))]
    return (float(best[0]), float(best[1]), float(best[2]))
