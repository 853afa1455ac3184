"""Lists with one line a reflection, as PETS2 writes for kinematical refinement: read and averaged over equivalents."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from pipeline.io.cif_pets import PetsFile, read_cif_pets
from pipeline.types import MergedReflections
from twin.files.errors import InputError
from twin.model.crystal import Cell
from twin.physics.lattice import miller_indices, reciprocal_matrix
from twin.physics.symmetry import asymmetric_hkl, laue_hall, systematically_absent


def is_one_line_a_reflection(pets: PetsFile) -> bool:
    """Whether no reflection is listed twice: a list of integrated reflections, not of what each frame shows of them."""
    return len(np.unique(pets.hkl, axis=0)) == len(pets.hkl)


def merged_list(pets: PetsFile, *, cell: Cell, hall: str, averaged: bool, source: str) -> MergedReflections:
    """The list averaged over the Laue class of ``hall``, or as it is (not ``averaged``).

    Weights 1/σ²; the s.u. of an average is the larger one of what the weights and what the scatter say.
    """
    use = np.isfinite(pets.intensity) & np.isfinite(pets.sigma) & (pets.sigma > 0) & pets.hkl.any(axis=1)
    if not use.any():
        raise InputError(f"{source}: no reflection has an intensity with a positive s.u.")
    hkl, intensity, sigma = pets.hkl[use], pets.intensity[use], pets.sigma[use]
    laue = laue_hall(hall)
    unique, member = np.unique(asymmetric_hkl(hkl, laue, friedel=True), axis=0, return_inverse=True)
    member, n = member.reshape(-1), len(unique)
    weight = sigma**-2.0
    total = np.bincount(member, weights=weight, minlength=n)
    mean = np.bincount(member, weights=weight * intensity, minlength=n) / total
    count = np.bincount(member, minlength=n)
    scatter = np.bincount(member, weights=weight * (intensity - mean[member]) ** 2, minlength=n)
    spread = np.sqrt(scatter / (total * np.maximum(count - 1, 1)))
    several = count[member] > 1
    whole = float(np.abs(intensity[several]).sum())
    reach = float(np.linalg.norm(hkl @ reciprocal_matrix(cell).T, axis=1).max())
    return MergedReflections(
        hkl=unique if averaged else hkl,
        intensity=mean if averaged else intensity,
        sigma=np.maximum(total**-0.5, spread) if averaged else sigma,
        multiplicity=count.astype(np.int64) if averaged else np.ones(len(hkl), dtype=np.int64),
        hall=laue if averaged else "-P 1",
        r_int_percent=100.0 * float(np.abs(intensity - mean[member])[several].sum()) / whole if whole > 0 else 0.0,
        completeness_percent=100.0 * n / max(1, _possible(cell, laue, reach)),
        redundancy=len(hkl) / n,
        g_max_per_angstrom=reach,
    )


def _possible(cell: Cell, laue: str, reach: float) -> int:
    """How many unique reflections there are within ``reach``."""
    hkl = miller_indices(reciprocal=reciprocal_matrix(cell), g_max_per_angstrom=reach)
    hkl = hkl[hkl.any(axis=1) & ~systematically_absent(hkl, laue)]
    return len(np.unique(asymmetric_hkl(hkl, laue, friedel=True), axis=0))


def read_list(path: str | Path) -> PetsFile | None:
    """The file when it has one line a reflection; None when it lists frames."""
    pets = read_cif_pets(path)
    return pets if is_one_line_a_reflection(pets) else None
