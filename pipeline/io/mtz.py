"""Merged intensities as an MTZ file (through gemmi): H K L IMEAN SIGIMEAN, symmetry of the Laue class without mirror.

An MTZ holds a space group, merged data only a Laue class: the rotations of the class stand for it (P 1 2 1 for
2/m, P 2 2 2 for mmm), with the centring of the lattice.
"""

from __future__ import annotations

from pathlib import Path

import gemmi
import numpy as np

from pipeline.types import MergedReflections, Orientation
from twin.files.atomic import atomic_path
from twin.files.errors import InputError
from twin.physics.electrons import wavelength_angstrom


def rotation_group(hall: str, centring: str) -> gemmi.SpaceGroup:
    """Space group of pure rotations with the centring; P 1 when there is none in these axes."""
    operations = gemmi.symops_from_hall(hall.replace("-P", "P" if centring not in "ABCIFR" else centring, 1))
    found: gemmi.SpaceGroup | None = gemmi.find_spacegroup_by_ops(operations)
    return gemmi.SpaceGroup("P 1") if found is None else found


def write_mtz(path: Path, *, orientation: Orientation, merged: MergedReflections) -> None:
    """Write one data set."""
    if len(merged.hkl) == 0:
        raise InputError(f"{path}: there are no reflections to write")
    mtz = gemmi.Mtz(with_base=True)
    mtz.title = "edtwin"
    mtz.spacegroup = rotation_group(merged.hall, orientation.centring)
    mtz.cell.set(*orientation.cell.parameters)
    data_set = mtz.add_dataset("electron diffraction")
    data_set.wavelength = wavelength_angstrom(energy_kev=orientation.microscope.beam.energy_kev)
    mtz.add_column("IMEAN", "J")
    mtz.add_column("SIGIMEAN", "Q")
    table = np.column_stack([merged.hkl, merged.intensity, merged.sigma])
    mtz.set_data(np.asarray(table, dtype=np.float32))
    with atomic_path(path) as temporary:
        mtz.write_to_file(str(temporary))
