"""The stages of the data, each a frozen type that is complete when it is built. See docs/architecture.md."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from twin.model.crystal import Cell, Crystal
from twin.model.instrument import Microscope

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Peaks:
    """Spots found on frames; all (n,). Positions in px, intensity and sigma in counts above background."""

    frame: Ints
    fast_px: Floats
    slow_px: Floats
    intensity: Floats
    sigma: Floats


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Orientation:
    """Lattice and geometry as recovered from the frames.

    ub: (3, 3) Å⁻¹, columns a*, b*, c* in the laboratory at tilt 0. rotation: (frames, 3, 3) with
    g_lab = rotation[f] @ ub @ h, stage angle and per-frame correction inside. centre_px: (frames, 2) fast, slow.
    ``microscope`` is the refined instrument (camera length, tilt axis, ellipse). ``indexed``: (frames,) bool.
    ``tilt_axis_sd_deg``: standard deviation of its tilt axis; ``sense_sigmas``: by how many standard deviations between
    frames the sense of rotation is decided (None for both: serial).
    ``hall`` is the Laue-compatible symmetry found for the lattice in this setting (e.g. '-P 2 2'), a working
    hypothesis for merging. ``notes`` are sentences for the report (sense of rotation and how sure, and so on).
    """

    cell: Cell
    ub: Floats
    rotation: Floats
    centre_px: Floats
    microscope: Microscope
    indexed: Bools
    hall: str
    centring: str
    indexed_peaks_fraction: float
    notes: tuple[str, ...] = ()
    tilt_axis_sd_deg: float | None = None
    sense_sigmas: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Reflections:
    """Integrated reflections frame by frame; all (n, ...).

    excitation_error_per_angstrom: s at the centre of the precession cone or of the frame's rotation range.
    swept_fraction: how much of the reflection's rocking curve the frame covers (model; 1 = all of it).
    precession_deg: semi-angle of the cone, or half of the rotation range of the (virtual) frame, as .cif_pets has it.
    additive: exposures follow on each other without a gap (continuous rotation): parts of a rocking curve add up.
    """

    hkl: Ints
    frame: Ints
    intensity: Floats
    sigma: Floats
    fast_px: Floats
    slow_px: Floats
    excitation_error_per_angstrom: Floats
    swept_fraction: Floats
    frame_scale: Floats  # (frames,) multiplies the model to give this frame
    precession_deg: float
    partiality: Floats | None = (
        None  # (n,) intensity = frame_scale[frame] * partiality * merged intensity, kinematically
    )
    additive: bool = False


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class MergedReflections:
    """Averaged over frames and over the Laue class ``hall`` (or unmerged observations when ``hall`` is '-P 1')."""

    hkl: Ints
    intensity: Floats
    sigma: Floats
    multiplicity: Ints
    hall: str
    r_int_percent: float
    completeness_percent: float
    redundancy: float
    g_max_per_angstrom: float


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Solution:
    """Outcome of structure solution. ``crystal`` is None when nothing was accepted; ``verdict`` is a sentence."""

    solved: bool
    crystal: Crystal | None
    space_group: str
    candidates: tuple[tuple[str, float], ...]  # (Hermann-Mauguin name, phase-symmetry score), best first
    residual: float
    verdict: str
    density: Floats | None = None  # (u, v, w) symmetrised map in the crystal's setting
    evidence: tuple[tuple[str, float], ...] = ()  # the numbers behind the verdict, by name
    phi: tuple[float, ...] = ()  # symmetry disagreement of the candidates' phases, in their order: 0 perfect, 1 random
    starts: tuple[tuple[float, float], ...] = ()  # of each random start: residual of the phasing, R of its best model


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Refinement:
    """One refinement, kinematical or dynamical, on averaged or frame-wise data.

    f_obs, f_calc, sigma_f: (n,) on the scale of the data; hkl (n, 3); frame (n,), -1 for averaged data; observed (n,).
    standard_uncertainties: parameter name to s.u. (names such as 'O1.x', 'O1.u_iso', 'Ti1.occupancy').
    """

    kind: str  # "kinematical_averaged", "kinematical_non_averaged", "kinematical_frame_based", "dynamical"
    crystal: Crystal
    parameters: int
    reflections_all: int
    reflections_obs: int
    r_obs_percent: float
    r_all_percent: float
    wr_all_percent: float
    gof_obs: float
    hkl: Ints
    frame: Ints
    f_obs: Floats
    f_calc: Floats
    sigma_f: Floats
    observed: Bools
    standard_uncertainties: dict[str, float]
    thickness_nm: float | None
    frame_scale: Floats | None
    rotation: Floats | None  # (frames, 3, 3) refined orientations, dynamical and frame-based only
    verdict: str
    cycles: int
    mosaicity_deg: float | None = None
    held_out_frame: Ints | None = None  # frames that took no part, predicted with nothing free but scale and turn
    held_out_r_obs_percent: float | None = None
    frame_thickness_nm: Floats | None = None  # (frames,) where each frame has its own; 0 for frames that took no part
