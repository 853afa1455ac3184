"""Before the least squares: the thickness by a scan, the orientation of each frame by itself."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from pipeline.refinement.engine import FrameTask, turn_matrix
from pipeline.refinement.figures import optimal_scale
from pipeline.refinement.frames import FrameData
from pipeline.refinement.pool import FrameMap
from pipeline.refinement.settings import DynamicalSettings, ThicknessModel
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
    *, frame_map: FrameMap, frames: Sequence[FrameData], values: Floats, settings: DynamicalSettings
) -> tuple[Floats, Floats]:
    """(thickness in Å (T,), weighted residual (T,)): Σ w (I − k I_c)² / Σ w I² with a free scale a frame."""
    low, high = (10.0 * t for t in settings.thickness_scan_nm)
    slabs = np.arange(1, int(np.ceil(high / _SCAN_STEP_ANGSTROM)) + 1, dtype=np.float64) * np.float64(
        _SCAN_STEP_ANGSTROM
    )
    trial = slabs[slabs >= low] if np.any(slabs >= low) else slabs[-1:]
    average = averaging_matrix(model=settings.thickness_model, slabs_angstrom=slabs, thicknesses_angstrom=trial)
    tasks = [
        FrameTask(frame=f, values=values, thickness_angstrom=high, tilt_deg=np.zeros(2), scan_angstrom=slabs)
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
    thickness_angstrom: float,
    cycles: int = 6,
) -> tuple[tuple[FrameData, ...], Floats]:
    """Turn each frame about x and y to its best fit, structure and thickness fixed; the frames and tilts (F, 2) in deg.

    Levenberg-Marquardt for every frame on its own, with its scale eliminated.
    """
    count = len(frames)
    tilt = np.zeros((count, 2))
    damping = np.full(count, 1e-3)

    def tasks(at: Floats, derivatives: bool) -> list[FrameTask]:
        return [
            FrameTask(
                frame=f, values=values, thickness_angstrom=thickness_angstrom, tilt_deg=t, orientation=derivatives
            )
            for f, t in zip(frames, at, strict=True)
        ]

    for _ in range(cycles):
        results = frame_map(tasks(tilt, True))
        step = np.zeros((count, 2))
        before = np.zeros(count)
        for i, (frame, result) in enumerate(zip(frames, results, strict=True)):
            before[i], step[i] = _orientation_step(frame, result.intensity, result.orientation, damping[i])
        after = np.array(
            [
                _residual(frame, result.intensity)
                for frame, result in zip(frames, frame_map(tasks(tilt + step, False)), strict=True)
            ]
        )
        better = after < before
        tilt[better] += step[better]
        damping = np.where(better, damping / 10, damping * 30)
        if np.all(np.abs(step[better]) < 2e-3):
            break
    turned = [replace(f, reciprocal_lab=turn_matrix(t) @ f.reciprocal_lab) for f, t in zip(frames, tilt, strict=True)]
    return tuple(turned), tilt


def _residual(frame: FrameData, calculated: Floats) -> float:
    scale = optimal_scale(intensity=frame.intensity, calculated=calculated, weights=frame.weights)
    return float((frame.weights * (frame.intensity - scale * calculated) ** 2).sum())


def _orientation_step(frame: FrameData, calculated: Floats, slopes: Floats, damping: float) -> tuple[float, Floats]:
    w = frame.weights
    scale = optimal_scale(intensity=frame.intensity, calculated=calculated, weights=w)
    residual = frame.intensity - scale * calculated
    rows = np.concatenate([calculated[None], scale * slopes])
    normal = (rows * w) @ rows.T
    diagonal = np.maximum(np.diag(normal), 1e-300)
    normal = normal / np.sqrt(np.outer(diagonal, diagonal)) + damping * np.eye(3)
    step = np.linalg.solve(normal, (rows * w) @ residual / np.sqrt(diagonal)) / np.sqrt(diagonal)
    size = float(np.abs(step[1:]).max())
    return float((w * residual**2).sum()), step[1:] / max(1.0, size / _ORIENTATION_STEP_DEG)
