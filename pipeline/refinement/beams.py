"""Which beams take part in a frame, and how far from the sphere they are during its exposure."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipeline.refinement.frames import FrameData, block_positions, mosaic_directions
from pipeline.refinement.potential import TablePlan, matrix_index
from pipeline.refinement.settings import DynamicalSettings
from pipeline.refinement.tasks import FrameTask
from twin.physics.beams import active_beams, coupled_hkl, select_beams
from twin.physics.ewald import excitation_errors
from twin.physics.lattice import Floats, Ints, miller_indices


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class FramePlan:
    """hkl (N, 3), (0, 0, 0) first; index (N, N) into the table of the potential; rows (M,): the frame's reflections.

    cells (c,): the cells of the table that occur; member (N · N,): which of them each element of ``index`` is.
    """

    hkl: Ints
    index: Ints
    rows: Ints
    cells: Ints
    member: Ints


def plan_frame(
    frame: FrameData, *, settings: DynamicalSettings, hall: str, table: TablePlan, wavenumber_per_angstrom: float
) -> FramePlan:
    """Beams that come within s_g_max of the sphere during the exposure, and the frame's reflections."""
    candidates = coupled_hkl(
        miller_indices(reciprocal=frame.reciprocal_lab, g_max_per_angstrom=settings.g_max_per_angstrom), hall
    )
    chosen = candidates[
        select_beams(
            reciprocal_lab=frame.reciprocal_lab,
            hkl=candidates,
            directions=frame.directions,
            wavenumber_per_angstrom=wavenumber_per_angstrom,
            g_max_per_angstrom=settings.g_max_per_angstrom,
            s_max_per_angstrom=settings.s_g_max_per_angstrom,
        )
    ]
    known = {tuple(h) for h in chosen.tolist()}
    missing = [h for h in frame.hkl.tolist() if tuple(h) not in known]
    hkl = np.concatenate([chosen, np.array(missing, dtype=np.int64).reshape(-1, 3)])
    place = {tuple(h): i for i, h in enumerate(hkl.tolist())}
    index = matrix_index(table, hkl)
    cells, member = np.unique(index, return_inverse=True)
    return FramePlan(
        hkl=hkl,
        index=index,
        rows=np.array([place[tuple(h)] for h in frame.hkl.tolist()], dtype=np.int64),
        cells=cells,
        member=member.reshape(-1),
    )


def task_excitation(
    g_lab: Floats, task: FrameTask, *, settings: DynamicalSettings, wavenumber_per_angstrom: float
) -> tuple[Floats, Floats]:
    """s (N, S) and its derivatives (Q, N, S) by what is asked for.

    By the two tilts in degrees, ∂s = −(e × g)·d; by the mosaicity, ∂s = −g·∂d.
    """
    directions, slope = task.frame.directions, None
    if task.wants_mosaic:
        directions, slope = _of_blocks(task.frame, settings, task.mosaicity_deg)
    s = excitation_errors(g_lab=g_lab, directions=directions, wavenumber_per_angstrom=wavenumber_per_angstrom)
    rows = np.zeros((0, *s.shape))
    if task.orientation:
        moved = np.cross(np.eye(3)[:2][:, None, :], g_lab[None, :, :])
        rows = np.concatenate([rows, -np.radians(1.0) * (moved @ directions.T)])
    if task.mosaicity and slope is not None:
        rows = np.concatenate([rows, -(g_lab @ slope.T)[None]])
    return s, rows


def beams_at_each_step(
    task: FrameTask, hkl: Ints, *, settings: DynamicalSettings, wavenumber_per_angstrom: float
) -> NDArray[np.bool_] | None:
    """(N, S): beams near the sphere at each step, for the frame before it is turned, so that it stays as it is."""
    if not (settings.beams_per_step or task.few_beams):
        return None
    directions = task.frame.directions
    if task.wants_mosaic:
        known = task.frame.blocks_deg
        directions = _of_blocks(task.frame, settings, settings.mosaicity_start_deg if known is None else known)[0]
    return active_beams(
        g_lab=hkl @ task.frame.reciprocal_lab.T,
        directions=directions,
        wavenumber_per_angstrom=wavenumber_per_angstrom,
        s_max_per_angstrom=settings.s_g_max_per_angstrom,
    )


def _of_blocks(frame: FrameData, settings: DynamicalSettings, mosaicity_deg: float) -> tuple[Floats, Floats]:
    across = np.zeros(3) if frame.across is None else frame.across
    return mosaic_directions(
        directions=frame.directions,
        across=across,
        turns=block_positions(settings.mosaic_blocks),
        mosaicity_deg=mosaicity_deg,
    )
