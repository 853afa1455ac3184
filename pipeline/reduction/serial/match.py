"""Coarse orientations of stills: each frame against all templates at all azimuths, by correlation along the azimuth."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.fft
from numpy.typing import NDArray

from pipeline.reduction.serial.templates import Complexes, Polar, Templates, spectrum

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

FRAMES_AT_ONCE = 16


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class FrameSpots:
    """Spots of one frame: lateral g (n, 2) in Å⁻¹, intensity over its sigma (n,)."""

    g_xy: Floats
    strength: Floats


def frame_spectrum(spots: FrameSpots, polar: Polar) -> Complexes:
    """Spectrum of a frame's spots, weighed by the logarithm of their strength: the lattice matters, not F."""
    length = np.hypot(spots.g_xy[:, 0], spots.g_xy[:, 1])
    own = length < polar.g_max_per_angstrom
    pattern = polar.spread(
        length=length[own],
        azimuth=np.arctan2(spots.g_xy[own, 1], spots.g_xy[own, 0]),
        weight=np.log1p(spots.strength[own]),
    )
    return spectrum(pattern)


def candidates(frames: list[FrameSpots], templates: Templates, *, keep: int = 8) -> tuple[Floats, Floats]:
    """The ``keep`` best templates of each frame, each at its best azimuth: orientations (f, keep, 3, 3) that take the
    crystal's Cartesian frame to the laboratory, and their correlations (f, keep), best first."""
    polar, keep = templates.polar, min(keep, len(templates.turns))
    turns, values = np.zeros((len(frames), keep, 3, 3)), np.zeros((len(frames), keep))
    for first in range(0, len(frames), FRAMES_AT_ONCE):
        part = slice(first, min(first + FRAMES_AT_ONCE, len(frames)))
        spectra = np.stack([frame_spectrum(f, polar) for f in frames[part]], axis=1)  # (m, f, radial)
        product = np.matmul(spectra, np.conj(templates.spectra))  # (m, f, templates)
        curves = scipy.fft.irfft(product, n=polar.azimuthal, axis=0)
        best = np.argmax(curves, axis=0)
        height = np.take_along_axis(curves, best[None], axis=0)[0]
        order = np.argsort(-height, axis=1)[:, :keep]
        values[part] = np.take_along_axis(height, order, axis=1)
        angle = np.take_along_axis(best, order, axis=1) * (2 * np.pi / polar.azimuthal)
        turns[part] = _about_beam(angle) @ templates.turns[order]
    return turns, values


def _about_beam(angle: Floats) -> Floats:
    out = np.zeros((*angle.shape, 3, 3))
    out[..., 0, 0] = out[..., 1, 1] = np.cos(angle)
    out[..., 1, 0] = np.sin(angle)
    out[..., 0, 1] = -out[..., 1, 0]
    out[..., 2, 2] = 1.0
    return out
