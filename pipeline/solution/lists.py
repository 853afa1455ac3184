"""Intensities from a file, made ready for a solution: one for each hkl, and the Laue class that they obey."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from pipeline.io.cif_pets import PetsFile, read_cif_pets, zone_excitation, zone_rotations
from pipeline.io.shelx import read_shelx
from pipeline.reduction.laue import laue_evidence
from pipeline.solution.laue import LaueData, allowed_by_lattice, conforming_cell, merged_in
from pipeline.types import MergedReflections
from twin.files.errors import InputError
from twin.model.crystal import Cell
from twin.physics.lattice import Floats, Ints, miller_indices, reciprocal_matrix
from twin.physics.symmetry import asymmetric_hkl

NEAR_AXIS = 0.1  # |sin| of the angle between a reflection and the rotation axis below which it is left out
INSIDE = 0.75  # of the half window of a zone
METRIC_TOLERANCE = 0.06  # of lists, 3 % of lengths or 1.7°: distortions of the pattern are left in their cells
LEAST = 30  # reflections below which nothing is tried
SYSTEMS = (
    ("cubic", "-P 4 2 3"), ("hexagonal", "-P 6 2"), ("tetragonal", "-P 4 2"), ("orthorhombic", "-P 2 2"),
    ("monoclinic", "-P 2y"), ("triclinic", "-P 1"),
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class IntensityList:
    """hkl (n, 3), intensity and sigma (n,), several lines a reflection where it was met more than once."""

    hkl: Ints
    intensity: Floats
    sigma: Floats
    cell: Cell
    wavelength_angstrom: float
    note: str


def read_intensities(path: Path, *, cell: Cell | None, wavelength_angstrom: float) -> IntensityList:
    """A .cif_pets file of either kind, or a SHELX .hkl file, which needs ``cell``; a cell given replaces that read."""
    if path.suffix.lower() == ".hkl":
        if cell is None:
            raise InputError(f"{path}: a .hkl file holds no cell; give it with --cell")
        listed = read_shelx(path)
        found = IntensityList(
            hkl=listed.hkl, intensity=listed.intensity, sigma=listed.sigma, cell=cell,
            wavelength_angstrom=wavelength_angstrom, note=f"{len(listed.hkl)} lines",
        )  # fmt: skip
        return _usable(found, source=path)
    pets = read_cif_pets(path)
    note = f"{len(pets.hkl)} lines, one a reflection"
    if len(np.unique(pets.hkl, axis=0)) < len(pets.hkl) and bool((pets.zone >= 0).all()):
        kept = kinematical_observations(pets)
        note = f"{len(kept.hkl)} of {len(pets.hkl)} lines cross the sphere well inside their frame; Lorentz factor out"
        pets = kept
    found = IntensityList(
        hkl=pets.hkl, intensity=pets.intensity, sigma=pets.sigma, cell=cell or pets.cell,
        wavelength_angstrom=pets.wavelength_angstrom, note=note,
    )  # fmt: skip
    return _usable(found, source=path)


def in_laue_class(found: IntensityList, *, d_min_angstrom: float | None) -> tuple[LaueData, MergedReflections, str]:
    """The list averaged in the highest class that its metric and its intensities allow; one entry for each hkl; a

    sentence about the class. ``d_min_angstrom``: reflections beyond it are left out.
    """
    length = np.linalg.norm(found.hkl @ reciprocal_matrix(found.cell).T, axis=1)
    limit = float(length.max()) if d_min_angstrom is None else 1.0 / d_min_angstrom
    use = length <= limit
    if np.count_nonzero(use) < LEAST:
        raise InputError(f"{np.count_nonzero(use)} reflections within d_min; at least {LEAST} are needed")
    every = MergedReflections(
        hkl=found.hkl[use], intensity=found.intensity[use], sigma=found.sigma[use],
        multiplicity=np.ones(np.count_nonzero(use), dtype=np.int64), hall="-P 1", r_int_percent=float("nan"),
        completeness_percent=float("nan"), redundancy=float("nan"), g_max_per_angstrom=limit,
    )  # fmt: skip
    single = _one_each(every)
    system = next(name for name, hall in SYSTEMS if allowed_by_lattice(found.cell, hall, METRIC_TOLERANCE))
    evidence = laue_evidence(hkl=single.hkl, intensity=single.intensity, sigma=single.sigma, system=system)
    cell = conforming_cell(found.cell, evidence.hall)
    merged = _with_completeness(merged_in(single, evidence.hall), cell)
    return LaueData(merged=merged, cell=cell), single, evidence.sentence()


def kinematical_observations(pets: PetsFile) -> PetsFile:
    """Intensities of frames that sweep through the reflections, with the Lorentz factor taken out.

    I ∝ |F|² / v, v = |∂s/∂α| = √(g² − g_axis² − (g² λ/2)²) where the node crosses the Ewald sphere: the lists made for
    dynamical refinement leave the factor in, for it integrates over the same angles. Kept are reflections that cross
    well inside the window of their zone and not close to the rotation axis.
    """
    g = np.einsum("nij,nj->ni", zone_rotations(pets)[pets.zone], pets.hkl @ pets.ub.T)
    excitation, length = zone_excitation(pets)
    omega = np.radians(pets.omega_deg)[pets.zone]
    along = np.cos(omega) * g[:, 0] + np.sin(omega) * g[:, 1]
    square = length**2 - along**2 - (0.5 * length**2 * pets.wavelength_angstrom) ** 2
    speed = np.sqrt(np.maximum(square, 0.0))
    window = np.radians(pets.precession_deg[pets.zone]) * speed
    keep = (speed > NEAR_AXIS * length) & (np.abs(excitation) < INSIDE * window)
    return replace(pets, hkl=pets.hkl[keep], intensity=(pets.intensity * speed)[keep],
                   sigma=(pets.sigma * speed)[keep], zone=pets.zone[keep])  # fmt: skip


def _one_each(every: MergedReflections) -> MergedReflections:
    """Lines of the same hkl averaged; Friedel mates stay apart."""
    hkl, group = np.unique(every.hkl, axis=0, return_inverse=True)
    weight = every.sigma**-2.0
    group = group.reshape(-1)
    total = np.bincount(group, weights=weight)
    count = np.bincount(group)
    mean = np.bincount(group, weights=weight * every.intensity) / total
    scatter = np.bincount(group, weights=weight * (every.intensity - mean[group]) ** 2)
    spread = np.sqrt(scatter / (total * np.maximum(count - 1, 1)))
    return replace(
        every, hkl=hkl, intensity=mean, sigma=np.maximum(total**-0.5, spread), multiplicity=count.astype(np.int64)
    )


def _with_completeness(merged: MergedReflections, cell: Cell) -> MergedReflections:
    reciprocal, limit = reciprocal_matrix(cell), merged.g_max_per_angstrom
    sphere = miller_indices(reciprocal=reciprocal, g_max_per_angstrom=limit)
    possible = len(np.unique(asymmetric_hkl(sphere[sphere.any(axis=1)], merged.hall, friedel=True), axis=0))
    within = np.count_nonzero(np.linalg.norm(merged.hkl @ reciprocal.T, axis=1) <= limit)
    return replace(merged, completeness_percent=100.0 * within / max(possible, 1))


def _usable(found: IntensityList, *, source: Path) -> IntensityList:
    """Without lines that hold no intensity with a positive s.u."""
    use = np.isfinite(found.intensity) & np.isfinite(found.sigma) & (found.sigma > 0) & found.hkl.any(axis=1)
    if np.count_nonzero(use) < LEAST:
        raise InputError(
            f"{source}: {np.count_nonzero(use)} reflections have an intensity with a positive s.u.; "
            f"at least {LEAST} are needed"
        )
    return replace(found, hkl=found.hkl[use], intensity=found.intensity[use], sigma=found.sigma[use])
