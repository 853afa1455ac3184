"""Peaks of the map lie on the atoms, the heavy ones highest."""

from __future__ import annotations

import numpy as np

from twin.physics.structure_factors import expand_to_p1
from validation.density import observed_density


def test_map_peaks_on_the_atoms(fake_run):
    refinement = fake_run.refinement("kinematical_averaged")
    density = observed_density(refinement)
    atoms = expand_to_p1(refinement.crystal)
    index = np.rint(atoms.fract * density.shape).astype(int) % density.shape
    at_atoms = density[tuple(index.T)]
    titanium, oxygen = (np.array(atoms.element) == element for element in ("Ti", "O"))
    assert at_atoms[titanium].min() > at_atoms[oxygen].max()
    assert at_atoms[oxygen].min() > 4 * density.std()
    highest = np.unravel_index(np.argmax(density), density.shape)
    distance = (np.array(highest) / density.shape - atoms.fract[titanium] + 0.5) % 1.0 - 0.5
    assert np.linalg.norm(distance * refinement.crystal.cell.parameters[:3], axis=1).min() < 0.2
