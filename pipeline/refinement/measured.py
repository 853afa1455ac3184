"""Measured series in .cif_pets files: frames, orientations and reflections as a refinement takes them.

Two things of such a file are not taken at their word (quartz of PETS2: 1 % and 0.5° off). The listed cell counts, not
that of the UB matrix, which gives the orientation only. And the middle of the range that a frame covers is where its
reflections are: the median of their excitation errors, as angles, is zero in every frame list that is symmetric.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pipeline.io.cif_pets import PetsFile, read_cif_pets, to_laboratory
from pipeline.refinement.settings import DynamicalSettings
from pipeline.solution.laue import conforming_cell
from pipeline.types import Orientation, Reflections
from twin.files.errors import InputError
from twin.model.crystal import Cell, Crystal
from twin.model.instrument import Beam, Detector, Microscope, Projection
from twin.model.plan import Mode
from twin.physics.electrons import energy_kev_of_wavelength
from twin.physics.lattice import (
    Floats,
    Ints,
    reciprocal_matrix,
    rotation_matrix,
    tilt_axis_vector,
)
from twin.physics.symmetry import laue_hall

_MODES: tuple[tuple[str, Mode], ...] = (
    ("continuous", "continuous"),
    ("precession", "precession"),
    ("static", "stills"),
)
_LARGEST_SEMI_ANGLE_DEG = 10.0
_LARGEST_OFFSET_DEG = 0.6


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class MeasuredSeries:
    """What a .cif_pets file says. zone_id: (frames,) the frames' names in the file; notes: what was put right."""

    orientation: Orientation
    reflections: Reflections
    mode: Mode
    zone_id: tuple[int, ...]
    notes: tuple[str, ...]


def read_series(
    path: str | Path, *, cell: Cell | None = None, centre: bool = True, hall: str | None = None
) -> MeasuredSeries:
    """Frames of a dynamical .cif_pets file; ``cell`` replaces the listed one, ``centre`` puts the windows right.

    ``hall``: group of the model; the listed cell is made to obey it.
    """
    pets = read_cif_pets(path)
    if cell is None and hall is not None:
        cell, _ = cell_of_group(pets.cell, hall)
    return series_of(pets, source=str(path), cell=cell, centre=centre)


def default_settings(series: MeasuredSeries, crystal: Crystal) -> DynamicalSettings:
    """Settings for measured data: beams a little beyond the data, a wedge, mosaicity refined.

    Every tenth frame is held out. Tensors are refined when the model brings them. Orientations of frames are held back
    by the spread that their own turns show.
    """
    g = np.linalg.norm(series.reflections.hkl @ series.orientation.ub.T, axis=1)
    reach = float(np.quantile(g, 0.999))
    rotation = series.mode == "continuous"
    return DynamicalSettings(
        mode=series.mode,
        g_max_per_angstrom=round(min(max(1.1 * reach, 1.0), 2.4), 2),
        reflection_g_max_per_angstrom=round(reach, 3),
        s_g_max_per_angstrom=0.01,
        r_s_g_max=0.66,
        d_s_g_min_per_angstrom=0.0015,
        steps=60 if rotation else 64,
        thickness_model="wedge",
        thickness_scan_nm=(5.0, 200.0),
        beams_per_step=True,
        mosaic_blocks=3,
        refine_mosaicity=rotation,
        orientation_sd_deg=0.2,
        restrain_orientations=True,
        estimate_orientation_sd=True,
        anisotropic=any(site.u_aniso_angstrom2 is not None for site in crystal.sites),
        hold_out_every=10,
    )


def series_of(pets: PetsFile, *, source: str, cell: Cell | None = None, centre: bool = True) -> MeasuredSeries:
    """As :func:`read_series`, from a file that is read already."""
    semi_angle_deg = _semi_angle(pets, source)
    mode = _mode(pets, semi_angle_deg)
    listed = cell or pets.cell
    notes: list[str] = []
    raw, rotation = to_laboratory(pets)
    ub, deviation = with_cell(raw, listed)
    if deviation > 0.002:
        notes.append(f"the cell of the UB matrix is {100 * deviation:.2g} % off the listed one, which is used")
    axis_deg = float(-np.median(pets.omega_deg)) % 360.0
    use = pets.zone >= 0
    if not np.any(use):
        raise InputError(f"{source}: no reflection names the zone on which it was measured (_refln_zone_axis_id)")
    hkl, frame = pets.hkl[use], pets.zone[use]
    angle = sweep_angles_deg(hkl=hkl, frame=frame, rotation=rotation, ub=ub, axis_deg=axis_deg, pets=pets)
    if centre and mode == "continuous":
        offset = float(np.clip(np.median(angle), -_LARGEST_OFFSET_DEG, _LARGEST_OFFSET_DEG))
        if abs(offset) > 0.02:
            rotation = np.asarray(rotation_matrix(axis=tilt_axis_vector(axis_deg), angle_deg=offset) @ rotation)
            notes.append(f"the middle of the frames' ranges was moved by {offset:+.2f} degrees about the tilt axis")
    k = 1.0 / pets.wavelength_angstrom
    g = np.einsum("nij,nj->ni", (rotation @ ub)[frame], hkl)
    orientation = Orientation(
        cell=listed,
        ub=ub,
        rotation=rotation,
        centre_px=np.zeros((len(rotation), 2)),
        microscope=_microscope(pets, axis_deg),
        indexed=np.ones(len(rotation), dtype=bool),
        hall="-P 1",
        centring="P",
        indexed_peaks_fraction=1.0,
        notes=tuple(notes),
    )
    reflections = Reflections(
        hkl=hkl,
        frame=frame,
        intensity=pets.intensity[use],
        sigma=pets.sigma[use],
        fast_px=np.zeros(len(hkl)),
        slow_px=np.zeros(len(hkl)),
        excitation_error_per_angstrom=-g[:, 2] - np.sum(g**2, axis=1) / (2 * k),
        swept_fraction=np.ones(len(hkl)),
        frame_scale=pets.scale,
        precession_deg=semi_angle_deg,
    )
    return MeasuredSeries(
        orientation=orientation,
        reflections=reflections,
        mode=mode,
        zone_id=tuple(int(z) for z in pets.zones),
        notes=tuple(notes),
    )


def with_cell(ub: Floats, cell: Cell) -> tuple[Floats, float]:
    """(UB with the orientation of ``ub`` and the metric of ``cell``, largest relative deviation of the lengths).

    The rotation is the nearest one to UB·B⁻¹ (polar decomposition).
    """
    b = reciprocal_matrix(cell)
    u, singular, vt = np.linalg.svd(ub @ np.linalg.inv(b))
    rotation = u @ vt
    if np.linalg.det(rotation) < 0:
        raise InputError("the UB matrix is left-handed: determinant below zero")
    return np.asarray(rotation @ b), float(np.abs(singular - 1.0).max())


def cell_of_group(cell: Cell, hall: str) -> tuple[Cell, float]:
    """(the cell as the point group wants it, largest relative change of a length): its metric tensor is averaged.

    PETS2 lists cells without constraints; distortions of the pattern are left in them.
    """
    changed = conforming_cell(cell, laue_hall(hall))
    return changed, float(np.abs(np.divide(changed.parameters[:3], cell.parameters[:3]) - 1.0).max())


def sweep_angles_deg(
    *, hkl: Ints, frame: Ints, rotation: Floats, ub: Floats, axis_deg: float, pets: PetsFile
) -> Floats:
    """By how much each reflection (n,) has to be turned about the tilt axis to meet the sphere, (m,) with m ≤ n.

    Reflections whose path is nearly parallel to the sphere (near the axis) are left out.
    """
    g = np.einsum("nij,nj->ni", (rotation @ ub)[frame], hkl)
    s = -g[:, 2] - np.sum(g**2, axis=1) * pets.wavelength_angstrom / 2
    axis = tilt_axis_vector(axis_deg)
    speed = -np.cross(axis, g)[:, 2]  # ds/dangle
    usable = np.abs(speed) > 0.5 * np.linalg.norm(g, axis=1)
    return np.asarray(np.degrees(-s[usable] / speed[usable]))


def _semi_angle(pets: PetsFile, source: str) -> float:
    if len(pets.zones) == 0:
        raise InputError(f"{source}: no zones (frames) are listed")
    value = float(np.median(pets.precession_deg))
    if not 0 <= value <= _LARGEST_SEMI_ANGLE_DEG:
        raise InputError(
            f"{source}: _diffrn_zone_axis_precession_angle is {value:g}; it must be between 0 and "
            f"{_LARGEST_SEMI_ANGLE_DEG:g} degrees"
        )
    if not (0.005 < pets.wavelength_angstrom < 0.1):
        raise InputError(
            f"{source}: _diffrn_radiation_wavelength is {pets.wavelength_angstrom:g}; it must be between 0.005 and 0.1"
        )
    return value


def _mode(pets: PetsFile, semi_angle_deg: float) -> Mode:
    details = pets.details.lower()
    for word, mode in _MODES:
        if f"geometry: {word}" in " ".join(details.split()):
            return mode
    return "continuous" if semi_angle_deg > 0 else "stills"


def _microscope(pets: PetsFile, axis_deg: float) -> Microscope:
    return Microscope(
        name="as in the .cif_pets file",
        beam=Beam(
            energy_kev=energy_kev_of_wavelength(pets.wavelength_angstrom), diameter_nm=1.0, flux_e_per_angstrom2_s=1.0
        ),
        detector=Detector(name="unknown", fast_px=1, slow_px=1, pixel_size_um=1.0),
        projection=Projection(camera_length_mm=1.0, centre_fast_px=0.0, centre_slow_px=0.0, tilt_axis_deg=axis_deg),
    )
