"""Successive fine slices of a continuous rotation summed to virtual frames, as dynamical refinements take them.

A slice of a quarter of a degree cuts every rocking curve to pieces; a sum over some degrees holds most of them whole.
Virtual frames overlap, so that each reflection is well inside one of them. (PETS2 does the same; its published glycine
project sums 7 slices of 0.36° every 5, and states half of the rotation of the sum as 'precession angle'.)
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from pipeline.reduction.observations import unique_hkl
from pipeline.types import Orientation, Reflections
from twin.physics.electrons import wavenumber_per_angstrom

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

WIDTH_DEG = 2.5  # rotation of a virtual frame, and five sevenths of it from one to the next
OVERLAP = 5.0 / 7.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Windows:
    """Slices summed to one virtual frame, and slices from the start of one to that of the next."""

    merged: int
    step: int

    def sentence(self) -> str:
        """As PETS2 words it in the details of a .cif_pets."""
        return (
            f"Virtual frame settings: number of merged frames: {self.merged}\n"
            f"                        step between frames: {self.step}\n"
            f"                        sum all intensities: 1"
        )


def usual_windows(half_slice_deg: float) -> Windows:
    """For slices of twice ``half_slice_deg``; one slice a frame when they are wide already."""
    merged = max(round(WIDTH_DEG / max(2.0 * half_slice_deg, 1e-6)), 1)
    return Windows(merged=merged, step=max(round(OVERLAP * merged), 1))


def virtual_frames(
    *, orientation: Orientation, reflections: Reflections, windows: Windows
) -> tuple[Orientation, Reflections]:
    """Orientation and reflections of the virtual frames of a continuous rotation without gaps.

    Intensities and variances are summed, the orientation is the mean of the slices', the excitation error that in the
    middle of the window. A slice without orientation takes no part.
    """
    r, frames = reflections, len(orientation.rotation)
    first = list(range(0, max(frames - windows.merged, 0) + 1, windows.step))
    used = orientation.indexed[r.frame]
    parts = [np.flatnonzero(used & (r.frame >= f) & (r.frame < f + windows.merged)) for f in first]
    slices = [np.arange(f, min(f + windows.merged, frames)) for f in first]
    slices = [s[orientation.indexed[s]] if np.any(orientation.indexed[s]) else s for s in slices]
    rotation = np.array([Rotation.from_matrix(orientation.rotation[s]).mean().as_matrix() for s in slices])
    scale = np.array([float(np.mean(r.frame_scale[s])) for s in slices])
    k = wavenumber_per_angstrom(energy_kev=orientation.microscope.beam.energy_kev)
    summed = [_summed(r, part, n, rotation[n] @ orientation.ub, float(scale[n]), k) for n, part in enumerate(parts)]
    columns: dict[str, Any] = {key: np.concatenate([s[key] for s in summed]) for key in summed[0]}
    half = r.precession_deg * windows.merged
    whole = np.array([np.mean(orientation.indexed[f : f + windows.merged]) > 0.5 for f in first])
    centre = np.array([orientation.centre_px[s].mean(axis=0) for s in slices])
    return (
        replace(orientation, rotation=rotation, centre_px=centre, indexed=whole),
        Reflections(**columns, frame_scale=scale, precession_deg=half),
    )


def _summed(r: Reflections, part: Ints, number: int, lattice: Floats, scale: float, k: float) -> dict[str, Any]:
    """Columns of the reflections of one virtual frame; ``part``: numbers of the observations on its slices."""
    hkl, group = unique_hkl(r.hkl[part])
    n = len(hkl)

    def total(values: Floats) -> Floats:
        return np.asarray(np.bincount(group, weights=values, minlength=n), dtype=np.float64)

    counted = np.maximum(total(np.ones(len(part))), 1.0)
    g = hkl @ lattice.T
    columns: dict[str, Any] = {
        "hkl": hkl,
        "frame": np.full(n, number),
        "intensity": total(r.intensity[part]),
        "sigma": np.sqrt(total(r.sigma[part] ** 2)),
        "fast_px": total(r.fast_px[part]) / counted,
        "slow_px": total(r.slow_px[part]) / counted,
        "excitation_error_per_angstrom": -g[:, 2] - np.sum(g**2, axis=1) / (2.0 * k),
        "swept_fraction": np.minimum(total(r.swept_fraction[part]), 1.0),
    }
    if r.partiality is not None:
        columns["partiality"] = total(r.partiality[part] * r.frame_scale[r.frame[part]]) / scale
    return columns
