"""A second look at spots that the first indexing left over: wide rocking curves and frames whose pattern has jumped."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from pipeline.reduction.jumps import frame_jumps
from pipeline.reduction.lattice import Indexed, refine_indexed
from pipeline.reduction.predict import Sweep
from pipeline.reduction.reach import rocking_reach
from pipeline.types import Peaks

Floats = NDArray[np.float64]

ENOUGH = 0.95  # share of the spots that must be indexed for no second look


def look_again(
    *,
    peaks: Peaks,
    found: Indexed,
    sweep: Sweep,
    px_per_angstrom: float,
    g_max_per_angstrom: float,
    width_per_angstrom: float,
) -> tuple[Indexed, Floats, list[str]]:
    """Indexed spots, how far each frame's pattern has jumped (frames, 2) in px, and sentences."""
    still = np.zeros((len(found.geometry.alpha_deg), 2))
    if np.mean(found.good) >= ENOUGH:
        return found, still, []
    before, said = np.count_nonzero(found.good), []
    width = rocking_reach(
        peaks=peaks,
        geometry=found.geometry,
        sweep=sweep,
        centring=found.symmetry.centring,
        g_max_per_angstrom=g_max_per_angstrom,
        tolerance_px=max(5.0 * found.rms_px, 1.0),
        least_per_angstrom=width_per_angstrom,
    )
    jumps = frame_jumps(
        peaks=peaks,
        good=found.good,
        geometry=found.geometry,
        sweep=sweep,
        centring=found.symmetry.centring,
        g_max_per_angstrom=g_max_per_angstrom,
        width_per_angstrom=width,
    )
    if width == width_per_angstrom and len(jumps.frames) == 0:
        return found, still, []
    moved = replace(found.geometry, centre_px=found.geometry.centre_px + jumps.shift_px)
    again = refine_indexed(
        peaks=peaks,
        found=replace(found, geometry=moved),
        sweep=sweep,
        px_per_angstrom=px_per_angstrom,
        g_max_per_angstrom=g_max_per_angstrom,
        width_per_angstrom=width,
    )
    if width > width_per_angstrom:
        said.append(
            f"rocking curves reach {width:.3f} Å⁻¹ beyond the sweep (share of the predicted reflections that show): "
            f"spots are looked for there"
        )
    said += [jumps.sentence()] if len(jumps.frames) else []
    said.append(f"second look: {before} of {len(peaks.frame)} spots indexed before, {int(again.good.sum())} after")
    return again, jumps.shift_px, said
