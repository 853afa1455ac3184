"""A model as a crystal, and as files that other programs read: CCP4 map, SHELXL .res."""

from __future__ import annotations

import gemmi
import numpy as np

from pipeline.solution.flipping import density, make_grid
from pipeline.solution.spots import CENTRINGS, Spots
from pipeline.solution.workspace import Model
from twin.files.ccp4 import ccp4_bytes
from twin.model.crystal import Cell, Crystal, Site
from twin.physics.lattice import Floats
from twin.physics.structure_factors import structure_factors
from twin.physics.symmetry import centring_vectors, is_centrosymmetric, operations, orbit

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


def ccp4_map(crystal: Crystal, density_: Floats) -> bytes:
    """The density over one cell as a CCP4/MRC file.

    density_: (u, v, w) with u along a. The values are scaled to a standard deviation of 1.
    """
    return ccp4_bytes(crystal, (density_ - density_.mean()) / max(float(density_.std()), 1e-30))


def shelx_res(crystal: Crystal, *, wavelength_angstrom: float) -> str:
    """Text of a SHELXL .res file with the model: neutral electron scattering factors are left to the user's SFAC."""
    elements = list(dict.fromkeys(site.element for site in crystal.sites))
    counts = {e: sum(len(orbit(s.fract, crystal.hall)) * s.occupancy for s in crystal.sites if s.element == e)
              for e in elements}  # fmt: skip
    cell = " ".join(f"{x:.4f}" for x in crystal.cell.parameters)
    lines = [f"TITL {crystal.name}", f"CELL {wavelength_angstrom:.5f} {cell}", "ZERR 1 0.001 0.001 0.001 0 0 0",
             f"LATT {_lattice_number(crystal.hall)}", *_symmetry_cards(crystal.hall), "SFAC " + " ".join(elements),
             "UNIT " + " ".join(f"{counts[e]:g}" for e in elements), "L.S. 4", "FVAR 1.0"]  # fmt: skip
    order = len(operations(crystal.hall))
    for site in crystal.sites:
        share = site.occupancy * len(orbit(site.fract, crystal.hall)) / order
        x = " ".join(f"{v:.6f}" for v in site.fract)
        number = elements.index(site.element) + 1
        lines.append(f"{site.label[:4]:4s} {number} {x} {10 + share:.5f} {site.u_iso_angstrom2:.4f}")
    return "\n".join([*lines, "HKLF 4", "END"]) + "\n"


def _lattice_number(hall: str) -> int:
    """SHELX LATT: 1 P, 2 I, 3 R, 4 F, 5 A, 6 B, 7 C; negative without a centre of inversion at the origin."""
    found = {tuple(np.round(v, 3)) for v in centring_vectors(hall)}
    number = 1
    for n, name in enumerate("PIRFABC", start=1):
        wanted = {(0.0, 0.0, 0.0), *(tuple(np.round(v, 3)) for v in CENTRINGS[name])}
        if found == wanted:
            number = n
    return number if _centre_at_origin(hall) else -number


def _centre_at_origin(hall: str) -> bool:
    ops = operations(hall)
    inverse = np.all(ops.rotations == -np.eye(3, dtype=np.int64), axis=(1, 2))
    return is_centrosymmetric(hall) and bool(np.any(np.all(np.abs(ops.translations[inverse]) < 1e-6, axis=1)))


def _symmetry_cards(hall: str) -> list[str]:
    """SYMM lines: one operation of each pair related by the inversion, without identity and centring."""
    cards, seen = [], {np.eye(3, dtype=np.int64).tobytes()}
    if _centre_at_origin(hall):
        seen.add((-np.eye(3, dtype=np.int64)).tobytes())
    for op in gemmi.symops_from_hall(hall).sym_ops:
        rotation = np.array(op.rot, dtype=np.int64) // gemmi.Op.DEN
        if rotation.tobytes() in seen:
            continue
        seen.add(rotation.tobytes())
        if _centre_at_origin(hall):
            seen.add((-rotation).tobytes())
        cards.append(f"SYMM {op.triplet().upper()}")
    return cards
