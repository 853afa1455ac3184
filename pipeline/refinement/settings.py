"""Choices of a frame-wise refinement, checked when they are made."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from pipeline.refinement.parameters import HydrogenModel, OccupancyModel
from twin.files.errors import InputError
from twin.model.plan import Mode

ThicknessModel = Literal["sphere", "cylinder", "slab", "wedge"]


@dataclass(frozen=True, slots=True, kw_only=True)
class DynamicalSettings:
    """Settings of a refinement against frames; defaults are those of the study's Table 4 where it states them.

    g_max, s_g_max: beams that take part (Å⁻¹). r_s_g_max: largest |s| of a refined reflection relative to the range
    that the frame sweeps. steps: azimuths of the precession cone, or sub-steps of the rotation range.
    thickness_model: distribution of the thickness t in 0…T: "sphere" (also any ellipsoid), "cylinder" (lying across
    the beam), "slab" (t = T), "wedge" (uniform). thickness_nm: T to start from; None scans ``thickness_scan_nm``.
    thickness_per_frame: a T for each frame. kinematical: the same with the interaction made infinitely weak.
    orientation_sd_deg: how far the given orientations are off; holds frames back while the structure is still wrong.
    restrain_orientations: hold frames back in the least squares too: each turn weighs as an observation of 0 with that
    standard deviation, in units of the frame's mean residual.
    estimate_orientation_sd: take that standard deviation from the turns themselves once the structure is better.
    d_s_g_min: how far (Å⁻¹) the sweep must carry a reflection beyond the sphere on either side; 0 for no such limit.
    reflection_g_max: resolution limit of the refined reflections; g_max when None.
    beams_per_step: couple at each step only the beams that are within s_g_max there (Jana's way; many times faster for
    thick crystals), not all those of the frame.
    mosaicity_deg: spread (standard deviation) of ``mosaic_blocks`` equally strong blocks, Gaussian, turned about the
    axis that is perpendicular to beam and tilt axis; where to start from when it is refined (0.1 then if it is 0).
    hydrogens: free, riding on the atom that they are bonded to, or fixed (see ``parametrise``).
    bond_sd_angstrom, u_sd_angstrom2: restrain bonds to their lengths in the model, and U_eq of bonded sites to each
    other, by these standard deviations (in units of the data's mean residual); None for no restraint.
    max_cycles: a cycle is worth three steps by the slope of χ² alone.
    hold_out_every: every n-th frame is left out of the refinement and predicted from it; 0 for none.
    """

    mode: Mode = "precession"
    g_max_per_angstrom: float = 1.6
    s_g_max_per_angstrom: float = 0.01
    r_s_g_max: float = 0.75
    d_s_g_min_per_angstrom: float = 0.0
    reflection_g_max_per_angstrom: float | None = None
    beams_per_step: bool = False
    mosaicity_deg: float = 0.0
    mosaic_blocks: int = 5
    refine_mosaicity: bool = False
    hold_out_every: int = 0
    steps: int = 64
    thickness_model: ThicknessModel = "sphere"
    thickness_nm: float | None = None
    thickness_scan_nm: tuple[float, float] = (2.0, 60.0)
    refine_thickness: bool = True
    thickness_per_frame: bool = False
    refine_orientations: bool = True
    orientation_sd_deg: float = 0.15
    restrain_orientations: bool = False
    estimate_orientation_sd: bool = False
    anisotropic: bool = False
    occupancy: OccupancyModel = "fixed"
    hydrogens: HydrogenModel = "free"
    bond_sd_angstrom: float | None = None
    u_sd_angstrom2: float | None = None
    keep_absent: bool = False
    kinematical: bool = False
    instability: float = 0.01
    minimum_reflections_per_frame: int = 8
    max_cycles: int = 20
    single_precision: bool = True

    @property
    def mosaicity_start_deg(self) -> float:
        """Mosaicity to begin with."""
        return 0.1 if self.refine_mosaicity and self.mosaicity_deg == 0.0 else self.mosaicity_deg

    def __post_init__(self) -> None:
        positive = {
            "g_max_per_angstrom": self.g_max_per_angstrom,
            "s_g_max_per_angstrom": self.s_g_max_per_angstrom,
            "r_s_g_max": self.r_s_g_max,
            "orientation_sd_deg": self.orientation_sd_deg,
            "thickness_scan_nm": min(self.thickness_scan_nm),
            "thickness_nm": 1.0 if self.thickness_nm is None else self.thickness_nm,
            "bond_sd_angstrom": 1.0 if self.bond_sd_angstrom is None else self.bond_sd_angstrom,
            "u_sd_angstrom2": 1.0 if self.u_sd_angstrom2 is None else self.u_sd_angstrom2,
        }
        for key, value in positive.items():
            if not (math.isfinite(value) and value > 0):
                raise InputError(f"{key} is {value}; it must be a positive number")
        if self.thickness_scan_nm[1] <= self.thickness_scan_nm[0]:
            raise InputError(f"thickness_scan_nm is {self.thickness_scan_nm}; the second number must be the larger one")
        if not (math.isfinite(self.mosaicity_deg) and 0 <= self.mosaicity_deg <= 5):
            raise InputError(f"mosaicity_deg is {self.mosaicity_deg}; it must be between 0 and 5")
        if not 1 <= self.mosaic_blocks <= 51:
            raise InputError(f"mosaic_blocks is {self.mosaic_blocks}; it must be between 1 and 51")
        if self.hold_out_every < 0 or self.hold_out_every == 1:
            raise InputError(f"hold_out_every is {self.hold_out_every}; it must be 0 (no frame) or at least 2")
        if not 1 <= self.steps <= 4096:
            raise InputError(f"steps is {self.steps}; it must be between 1 and 4096")
        if not 0 <= self.max_cycles <= 1000:
            raise InputError(f"max_cycles is {self.max_cycles}; it must be between 0 and 1000")
        if not (math.isfinite(self.instability) and 0 <= self.instability < 1):
            raise InputError(f"instability is {self.instability}; it must be between 0 and 1")
