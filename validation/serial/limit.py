"""How far averaged intensities carry information: shells of |g| with their mean I/σ (claim C31)."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from twin.files.json import parse_json
from twin.model.crystal import Cell
from twin.physics.lattice import Floats, reciprocal_matrix

EDGE_PER_ANGSTROM = 2.0  # of the detector; the frames hold nothing beyond it
WIDTH_PER_ANGSTROM = 0.1
LEAST_IN_SHELL = 5
SIGNIFICANT = 2.0  # mean I/σ of the last shell that counts


def shells_of(folder: Path) -> tuple[Floats, Floats]:
    """|g| in Å⁻¹ and I/σ of the averaged reflections of a run folder, (n,) each."""
    table = parse_json((folder / "orientation.json").read_text(encoding="utf-8"), source="orientation.json")
    cell = Cell(**table["cell"])
    with np.load(folder / "merged.npz", allow_pickle=False) as merged:
        hkl, intensity, sigma = merged["hkl"], merged["intensity"], merged["sigma"]
    return np.linalg.norm(hkl @ reciprocal_matrix(cell).T, axis=1), intensity / sigma


def information_limit(g: Floats, significance: Floats) -> float | None:
    """Outer edge in Å⁻¹ of the last shell, counted from within, with a mean I/σ above 2; None when the first has less.

    Shells of 0.1 Å⁻¹ from 0.5 on; a shell with fewer than five reflections ends the count.
    """
    found = None
    for low in np.arange(0.5, EDGE_PER_ANGSTROM - 1e-9, WIDTH_PER_ANGSTROM):
        own = significance[(g > low) & (g <= low + WIDTH_PER_ANGSTROM)]
        if len(own) < LEAST_IN_SHELL or float(own.mean()) <= SIGNIFICANT:
            break
        found = float(low + WIDTH_PER_ANGSTROM)
    return found
