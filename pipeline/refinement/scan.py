"""Before the least squares: the thickness by a scan, the orientation of each frame by itself."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from pipeline.refinement.figures import optimal_scale
from pipeline.refinement.frames import FrameData
from pipeline.refinement.pool import FrameMap
from pipeline.refinement.settings import DynamicalSettings, ThicknessModel
from pipeline.refinement.tasks import FrameResult, FrameTask, turn_matrix
from pipeline.refinement.thickness import thickness_quadrature
from twin.physics.lattice import Floats

_SCAN_STEP_ANGSTROM = 5.0
_ORIENTATION_STEP_DEG = 0.1


def averaging_matrix(*, model: ThicknessModel, slabs_angstrom: Floats, thicknesses_angstrom: Floats) -> Floats:
    """(T, J): averages over the distribution of each T of a function known at slabs (J,) and zero at t = 0.

    Linear interpolation between the slabs; slabs ascend and reach the largest T.
    """
    u, weights = thickness_quadrature(model=model, nodes=96)
    grid = np.concatenate([[0.0], slabs_angstrom])
    t = np.multiply.outer(thicknesses_angstrom, u)
    right = np.clip(np.searchsorted(grid, t, side="left"), 1, len(grid) - 1)
    fraction = (t - grid[right - 1]) / (grid[right] - grid[right - 1])
    matrix = np.zeros((len(thicknesses_angstrom), len(grid)))
    rows = np.broadcast_to(np.arange(len(t))[:, None], t.shape)
    np.add.at(matrix, (rows, right), fraction * weights)
    np.add.at(matrix, (rows, right - 1), (1.0 - fraction) * weights)
    return matrix[:, 1:]


def scan_thickness(
    *,
    frame_map: FrameMap,
    frames: Sequence[FrameData],
    values: Floats,
    settings: DynamicalSettings,
    mosaicity_deg: float = 0.0,
    few_beams: bool = False,
) -> tuple[Floats, Floats]:
    """(thickness in Å (T,), weighted residual (T,)): Σ w (I − k I_c)² / Σ w I² with a free scale a frame."""
    low, high = (10.0 * t for t in settings.thickness_scan_nm)
    slabs = np.arange(1, int(np.ceil(high / _SCAN_STEP_ANGSTROM)) + 1, dtype=np.float64) * np.float64(
        _SCAN_STEP_ANGSTROM
    )
    trial = slabs[slabs >= low] if np.any(slabs >= low) else slabs[-1:]
    average = averaging_matrix(model=settings.thickness_model, slabs_angstrom=slabs, thicknesses_angstrom=trial)
    tasks = [
        FrameTask(
            frame=f,
            values=values,
            thickness_angstrom=high,
            tilt_deg=np.zeros(2),
            mosaicity_deg=mosaicity_deg,
            few_beams=few_beams,
            scan_angstrom=slabs,
        )
        for f in frames
    ]
    chi2, total = np.zeros(len(trial)), 0.0
    for frame, result in zip(frames, frame_map(tasks), strict=True):
        calculated = average @ result.scan
        w, i = frame.weights, frame.intensity
        scale = np.clip(calculated @ (w * i), 0, None) / np.maximum((calculated**2) @ w, 1e-300)
        chi2 += ((i - scale[:, None] * calculated) ** 2) @ w
        total += float((w * i * i).sum())
    return trial, chi2 / total


def optimise_orientations(
    *,
    frame_map: FrameMap,
    frames: Sequence[FrameData],
    values: Floats,
    thickness_angstrom: Floats,
    mosaicity_deg: float = 0.0,
    prior_deg: float | None = None,
    few_beams: bool = False,
    cycles: int = 6,
) -> tuple[tuple[FrameData, ...], Floats, Floats]:
    """Turn each frame about x and y to its best fit, structure and thicknesses (F,) fixed.

    Levenberg-Marquardt for every frame on its own, with its scale eliminated. ``prior_deg``: standard deviation of the
    orientations given; it keeps frames that fit badly (a structure that is still wrong) from turning to a false
    minimum, since it weighs as much as one reflection with the frame's mean residual.
    Returns the turned frames, the tilts (F, 2) in degrees and the weighted residuals (F,) without the prior.
    """
    count = len(frames)
    tilt, damping = np.zeros((count, 2)), np.full(count, 1e-3)
    chi2 = np.zeros(count)

    def tasks(at: Floats, derivatives: bool) -> list[FrameTask]:
        return [
            FrameTask(
                frame=f,
                values=values,
                thickness_angstrom=float(t),
                tilt_deg=a,
                mosaicity_deg=mosaicity_deg,
                orientation=derivatives,
                few_beams=few_beams,
            )
            for f, t, a in zip(frames, thickness_angstrom, at, strict=True)
        ]

    for _ in range(cycles):
        step, stiffness = np.zeros((count, 2)), np.zeros(count)
        for i, (frame, result) in enumerate(zip(frames, frame_map(tasks(tilt, True)), strict=True)):
            chi2[i] = frame_residual(frame, result.intensity)
            if prior_deg is not None:
                stiffness[i] = chi2[i] / len(frame.hkl) / prior_deg**2
            turned = frame.turned_deg + tilt[i]
            step[i] = _orientation_step(frame, result, turned, damping=damping[i], stiffness=stiffness[i])
        trial = frame_map(tasks(tilt + step, False))
        after = np.array([frame_residual(f, r.intensity) for f, r in zip(frames, trial, strict=True)])
        turned_deg = np.array([f.turned_deg for f in frames]).reshape(-1, 2) + tilt
        cost = stiffness * np.sum((turned_deg + step) ** 2 - turned_deg**2, axis=1)
        better = after + cost < chi2
        tilt[better] += step[better]
        chi2[better] = after[better]
        damping = np.where(better, damping / 10, damping * 30)
        if np.all(np.abs(step[better]) < 2e-3):
            break
    return tuple(turned_frame(f, t) for f, t in zip(frames, tilt, strict=True)), tilt, chi2


def turned_frame(frame: FrameData, tilt_deg: Floats) -> FrameData:
    """The frame with a turn about x and y (2,) taken into its orientation, and so into the choice of beams."""
    return replace(
        frame,
        reciprocal_lab=turn_matrix(tilt_deg) @ frame.reciprocal_lab,
        turned_deg=frame.turned_deg + tilt_deg,
    )


def frame_residual(frame: FrameData, calculated: Floats) -> float:
    """Σ w (I − k I_c)² of a frame with its best scale."""
    scale = optimal_scale(intensity=frame.intensity, calculated=calculated, weights=frame.weights)
    return float((frame.weights * (frame.intensity - scale * calculated) ** 2).sum())


def _orientation_step(
    frame: FrameData, result: FrameResult, turned: Floats, *, damping: float, stiffness: float
) -> Floats:
    """Shift (2,) of the tilts in degrees from the damped normal equations of (scale, tilts)."""
    w = frame.weights
    scale = optimal_scale(intensity=frame.intensity, calculated=result.intensity, weights=w)
    rows = np.concatenate([result.intensity[None], scale * result.orientation])
    normal = (rows * w) @ rows.T + stiffness * np.diag([0.0, 1.0, 1.0])
    gradient = (rows * w) @ (frame.intensity - scale * result.intensity) - stiffness * np.array([0.0, *turned])
    root = np.sqrt(np.maximum(np.diag(normal), 1e-300))
    scaled = normal / np.outer(root, root) + damping * np.eye(3)
    step = np.linalg.solve(scaled, gradient / root)[1:] / root[1:]
    return np.asarray(step / max(1.0, float(np.abs(step).max()) / _ORIENTATION_STEP_DEG))
