"""How far a reduction is from the truth: cell, orientation frame by frame, integrated intensities.

Orientations. A frame's lattice is M = R U B in the laboratory; found and true ones differ by D = M_found M_true⁻¹, a
rotation times a small strain (cell error, scale). The rotation is taken by polar decomposition, so that it does not
depend on how a cell is laid into Cartesian axes. Two figures come out of it:

* absolute: the angle of that rotation, frame by frame;
* relative: the same after one rotation common to all frames, on the crystal's side, has been removed. A strain of the
  cell (an uncorrected ellipse, a ratio off by 0.1 %) turns the crystal's axes by up to the same amount at every frame;
  no experiment tells such a turn from the mounting, and integration and refinement do not care. The contract's
  ``rms_error_deg`` is therefore the relative one, and the absolute one stands beside it.

Intensities. Scaled by least squares through the origin; CC is Pearson's, R = Σ|sI − J| / ΣJ.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy.spatial.transform import Rotation

from pipeline.types import MergedReflections, Orientation, Reflections
from twin.model.crystal import Crystal
from twin.model.specimen import Pose
from twin.model.truth import Truth
from twin.physics.lattice import reciprocal_matrix
from twin.physics.structure_factors import structure_factors
from twin.physics.symmetry import laue_hall, primitive_operations
from validation.lattice_match import LatticeMatch, angle_deg, match_lattice, rotation_part
from validation.view import Floats, Ints, TruthIntensities


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class OrientationScore:
    """Per frame, NaN where the frame was not indexed: angle after removing the common rotation, and absolute (deg)."""

    error_deg: Floats
    absolute_deg: Floats
    common_deg: float

    @property
    def rms_error_deg(self) -> float:
        return _rms(self.error_deg)

    @property
    def max_error_deg(self) -> float:
        return float(np.nanmax(self.error_deg))

    @property
    def median_error_deg(self) -> float:
        return float(np.nanmedian(self.error_deg))

    @property
    def right_percent(self) -> float:
        """Share of the indexed frames within a degree of the truth."""
        known = self.error_deg[np.isfinite(self.error_deg)]
        return float(100.0 * np.mean(known < 1.0))

    @property
    def rms_absolute_deg(self) -> float:
        return _rms(self.absolute_deg)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class IntensityScore:
    """Measured intensities on the scale of the truth beside the truth, (n,), with CC and R (%)."""

    measured: Floats
    truth: Floats
    cc: float
    r_percent: float


def true_ub(truth: Truth) -> Floats:
    """U B of the true crystal at tilt 0 in Å⁻¹; (3, 3)."""
    return np.asarray(np.array(truth.particle.mounting) @ reciprocal_matrix(truth.crystal.cell))


def true_rotations(poses: tuple[Pose, ...]) -> Floats:
    """R at the middle of each exposure, (frames, 3, 3)."""
    start = Rotation.from_matrix(np.array([p.rotation_start for p in poses]))
    end = Rotation.from_matrix(np.array([p.rotation_end for p in poses]))
    half = Rotation.from_rotvec(0.5 * (end * start.inv()).as_rotvec())
    return np.asarray((half * start).as_matrix())


def score_lattice(*, orientation: Orientation, truth: Truth) -> LatticeMatch | None:
    """Found against true lattice at tilt 0; of a serial series, which has no tilt 0, against all of its frames."""
    if truth.plan.mode != "serial":
        return match_lattice(ub_found=orientation.ub, ub_true=true_ub(truth), hall_true=truth.crystal.hall)

    def misfit(lattices: Floats) -> Floats:
        if not np.any(orientation.indexed):
            return np.zeros(len(lattices))
        return np.array([np.median(_nearest(orientation, ub, truth).angle_deg) for ub in lattices])

    return match_lattice(
        ub_found=orientation.ub, ub_true=true_ub(truth), hall_true=truth.crystal.hall, misfit=misfit
    )


def score_orientation(*, orientation: Orientation, match: LatticeMatch, truth: Truth) -> OrientationScore | None:
    """Orientation of every indexed frame against its true pose, modulo the rotations of the true Laue class."""
    use = _compared(orientation, truth)
    if len(use) == 0:
        return None
    found = _nearest(orientation, match.ub, truth)
    angles, nearest = found.angle_deg, found.turn
    turn_true = true_rotations(truth.poses)[use]
    crystal_side = np.swapaxes(turn_true, 1, 2) @ nearest @ turn_true
    sound = angles <= 10.0 * np.median(angles) + 0.5  # a frame in a wrong orientation says nothing of the common turn
    common = rotation_part(crystal_side[sound].mean(axis=0))
    frames = min(len(truth.poses), len(orientation.rotation))
    absolute, relative = np.full(frames, np.nan), np.full(frames, np.nan)
    absolute[use] = angles
    relative[use] = angle_deg(crystal_side @ common.T)
    return OrientationScore(error_deg=relative, absolute_deg=absolute, common_deg=float(angle_deg(common[None])[0]))


def _compared(orientation: Orientation, truth: Truth) -> Ints:
    """Numbers of the frames that have both an orientation and a pose."""
    frames = min(len(truth.poses), len(orientation.rotation))
    return np.asarray(np.nonzero(np.asarray(orientation.indexed)[:frames])[0], dtype=np.int64)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Nearest:
    """Of the frames that are compared: the nearest of the true orientations modulo the Laue class, its operation on
    hkl (n, 3, 3), the rotation from there to the found one (n, 3, 3) and its angle (n,)."""

    operation: Floats
    turn: Floats
    angle_deg: Floats


def frame_operations(*, orientation: Orientation, match: LatticeMatch, truth: Truth) -> Floats:
    """Operation of the Laue class (frames, 3, 3) that takes each frame's indices to those of the true crystal.

    Of a tilt series it is the same for all frames and part of ``match``; every still of a serial series has its own.
    """
    out = np.tile(np.eye(3), (len(orientation.rotation), 1, 1))
    use = _compared(orientation, truth)
    if truth.plan.mode == "serial" and len(use):
        out[use] = _nearest(orientation, match.ub, truth).operation
    return out


def _nearest(orientation: Orientation, ub: Floats, truth: Truth) -> _Nearest:
    """``ub``: the found lattice in the true axes."""
    use = _compared(orientation, truth)
    found = np.asarray(orientation.rotation)[use] @ ub
    operations = _laue_rotations(truth.crystal)
    true = true_rotations(truth.poses)[use][:, None] @ true_ub(truth)[None, None] @ operations[None]
    delta = rotation_part(found[:, None] @ np.linalg.inv(true))
    angles = angle_deg(delta.reshape(-1, 3, 3)).reshape(delta.shape[:2])
    best = np.argmin(angles, axis=1)
    rows = np.arange(len(use))
    return _Nearest(operation=operations[best], turn=delta[rows, best], angle_deg=angles[rows, best])


def _laue_rotations(crystal: Crystal) -> Floats:
    """Proper rotations of the Laue class acting on hkl (as columns): the transposed inverses of W; (m, 3, 3)."""
    rotations = np.asarray(primitive_operations(laue_hall(crystal.hall)).rotations, dtype=np.float64)
    proper = rotations[np.linalg.det(rotations) > 0]
    return np.asarray(np.swapaxes(np.linalg.inv(proper), 1, 2))


def hkl_in_true_axes(*, hkl: ArrayLike, match: LatticeMatch) -> Ints:
    """Indices of the found lattice (n, 3) written in the true crystal's axes: h_true = T⁻ᵀ h."""
    h = np.asarray(hkl, dtype=np.float64) @ np.linalg.inv(match.transform)
    return np.asarray(np.rint(h), dtype=np.int64)


def score_merged(*, merged: MergedReflections, match: LatticeMatch, truth: Truth) -> IntensityScore | None:
    """Averaged intensities against the kinematical |F|² of the true crystal (what dynamical effects leave of it)."""
    hkl = hkl_in_true_axes(hkl=merged.hkl, match=match)
    kinematical = np.abs(structure_factors(crystal=truth.crystal, hkl=hkl)) ** 2
    return agreement(measured=merged.intensity, truth=kinematical)


def score_integrated(
    *,
    reflections: Reflections,
    match: LatticeMatch,
    truth_intensities: TruthIntensities,
    operations: Floats | None = None,
) -> IntensityScore | None:
    """Integrated intensities, reflection by reflection and frame by frame, against the electrons that arrived.

    ``operations``: of :func:`frame_operations`, where frames have one of their own.
    """
    hkl = hkl_in_true_axes(hkl=reflections.hkl, match=match)
    if operations is not None:
        hkl = np.rint(np.einsum("nij,nj->ni", operations[reflections.frame], hkl)).astype(np.int64)
    found = np.column_stack([reflections.frame, hkl])
    true = np.column_stack([truth_intensities.frame, truth_intensities.hkl])
    low = np.minimum(found.min(axis=0, initial=0), true.min(axis=0, initial=0))
    span = np.maximum(found.max(axis=0, initial=0), true.max(axis=0, initial=0)) - low + 1
    key_found = np.ravel_multi_index(tuple((found - low).T), tuple(span))
    key_true = np.ravel_multi_index(tuple((true - low).T), tuple(span))
    common, index_found, index_true = np.intersect1d(key_found, key_true, return_indices=True)
    if len(common) == 0:
        return None
    return agreement(
        measured=reflections.intensity[index_found], truth=truth_intensities.electrons[index_true]
    )


def agreement(*, measured: ArrayLike, truth: ArrayLike) -> IntensityScore | None:
    """CC and R of two lists of intensities; None when fewer than three of them are finite or all are equal."""
    i, j = np.asarray(measured, dtype=np.float64), np.asarray(truth, dtype=np.float64)
    keep = np.isfinite(i) & np.isfinite(j)
    i, j = i[keep], j[keep]
    if len(i) < 3 or np.ptp(i) == 0 or np.ptp(j) == 0:
        return None
    scaled = i * (i @ j) / (i @ i)
    return IntensityScore(
        measured=scaled,
        truth=j,
        cc=float(np.corrcoef(i, j)[0, 1]),
        r_percent=float(100 * np.sum(np.abs(scaled - j)) / np.sum(np.abs(j))),
    )


def _rms(values: Floats) -> float:
    return float(np.sqrt(np.nanmean(values**2)))
