"""The .cif_pets files of PETS2 and their relatives: read in all dialects met so far, written so that Jana2020
reads them.

A file holds a cell, a UB (Å⁻¹, laboratory of PETS: x right, y up, K along −z; g = M UB h with
M = R_z(ω) R_x(α) R_y(β)), the zones (frames) and reflections with the zone on which each was measured. Dialects differ
in the name of the cell's s.u., in comments and free text between the items, and in whether ``_diffrn_pets_omega`` and
``_diffrn_zone_axis_beta`` are there. The kinematical file has one line for each reflection, the dynamical one a
line for
each reflection and frame.
"""

from __future__ import annotations

from pipeline.io.pets_frame import FLIP, pets_geometry, to_laboratory, zone_excitation, zone_rotations
from pipeline.io.pets_reader import PetsFile, parse_cif_pets, read_cif_pets
from pipeline.io.pets_writer import dynamical_cif_pets, kinematical_cif_pets

__all__ = [
    "FLIP",
    "PetsFile",
    "dynamical_cif_pets",
    "kinematical_cif_pets",
    "parse_cif_pets",
    "pets_geometry",
    "read_cif_pets",
    "to_laboratory",
    "zone_excitation",
    "zone_rotations",
]
