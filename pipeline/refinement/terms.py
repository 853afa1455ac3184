"""χ² of frames as a sum of terms, one a frame and one for the restraints, and its normal matrix.

The scale of a frame is eliminated at every point. In matrices of second derivatives it is projected out (Kaufman, BIT
15 (1975) 49: what is left of the Gauss-Newton matrix is its Schur complement); s.u.s come from the full matrix, in
which every scale has its column.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from pipeline.refinement.figures import optimal_scale
from pipeline.refinement.frames import FrameData
from pipeline.refinement.partitioned import Terms
from pipeline.refinement.problem import (
    SMALLEST_MOSAICITY_DEG,
    Layout,
    Problem,
    State,
    frame_tasks,
    mosaicity_of,
    tilts_of,
)
from pipeline.refinement.restraints import bonds_of, restraint_rows
from pipeline.refinement.scan import frame_residual
from pipeline.refinement.tasks import FrameDescent, FrameResult
from twin.physics.lattice import Floats, Ints


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Slopes:
    """Derivatives (p, M) of a frame's scaled intensities by its parameters ``columns`` (p,), its scale last."""

    columns: Ints
    rows: Floats
    residual: Floats
    weights: Floats

    @property
    def normal(self) -> Floats:
        return np.asarray((self.rows * self.weights) @ self.rows.T)


class FrameTerms:
    """The terms of the frames of ``state``; points are free vectors without the scales."""

    def __init__(self, problem: Problem, state: State) -> None:
        layout = problem.layout
        self._problem, self._state = problem, state
        self.free = layout.scale_column(0)
        self.columns = [layout.columns(i) for i in range(layout.frames)]
        s = problem.settings
        asked = s.bond_sd_angstrom is not None or s.u_sd_angstrom2 is not None
        self._bonds = bonds_of(problem.parametrisation.crystal) if asked else ()
        self.columns += [np.arange(layout.structure)] * (len(self._bonds) > 0)
        self._unit, self._stiffness = 0.0, np.zeros(layout.frames)
        self._held = layout.tilts > 0 and problem.settings.restrain_orientations

    @property
    def frames(self) -> tuple[FrameData, ...]:
        return self._state.frames

    def at(self, point: Floats) -> State:
        """The state at a point; scales are zero."""
        full = np.concatenate([point, np.zeros(self._problem.layout.size - self.free)])
        return replace(self._state, point=full)

    def evaluate(self, point: Floats) -> Terms:
        """χ² of the terms and their descents."""
        layout, state = self._problem.layout, self.at(point)
        results = self._problem.mapped(frame_tasks(self._problem, state, descent=True))
        chi2 = _residuals(state, results)
        felt = _felt(mosaicity_of(layout, state))
        descents = [_joined(layout, r.descent, felt) for r in results]
        self._settle(state, chi2)
        if self._held:
            self._hold(state, chi2, descents)
        restraint = self._restrained(point)
        if restraint is not None:
            chi2 = np.append(chi2, restraint[0])
            descents.append(restraint[1])
        calculated = tuple(r.intensity for r in results)
        return Terms(chi2=chi2, descents=tuple(descents), calculated=calculated)

    def slopes(self, point: Floats) -> list[Slopes]:
        """Derivatives of every intensity of every frame."""
        layout, state = self._problem.layout, self.at(point)
        results = self._problem.mapped(frame_tasks(self._problem, state, derivatives=True))
        felt = _felt(mosaicity_of(layout, state))
        self._settle(state, _residuals(state, results))
        return [
            _slopes(layout, i, frame, result, felt)
            for i, (frame, result) in enumerate(zip(state.frames, results, strict=True))
        ]

    def matrices(self, point: Floats, slopes: Sequence[Slopes]) -> list[Floats]:
        """½ ∂²χ² of every term after Gauss and Newton."""
        out = []
        for i, slope in enumerate(slopes):
            normal, last = slope.normal, len(slope.columns) - 1
            out.append(normal[:last, :last] - np.outer(normal[:last, last], normal[last, :last]) / _size(normal))
            if self._held:
                out[-1][-2:, -2:] += self._stiffness[i] * np.eye(2)
        restraint = self._restrained(point)
        return out if restraint is None else [*out, restraint[2]]

    def normal(self, point: Floats, slopes: Sequence[Slopes]) -> Floats:
        """Full normal matrix, scales included."""
        layout = self._problem.layout
        total = np.zeros((layout.size, layout.size))
        for i, slope in enumerate(slopes):
            total[np.ix_(slope.columns, slope.columns)] += slope.normal
            if self._held:
                where = layout.tilt_columns(i)
                total[where, where] += self._stiffness[i] * np.eye(2)
        restraint = self._restrained(point)
        if restraint is not None:
            total[: layout.structure, : layout.structure] += restraint[2]
        return total

    def _settle(self, state: State, chi2: Floats) -> None:
        """Take the units of what holds frames and structure from where the least squares begins."""
        if self._unit == 0.0:
            counts = np.array([len(f.hkl) for f in state.frames])
            self._unit = float(chi2.sum() / counts.sum())
            self._stiffness = chi2 / counts / self._problem.settings.orientation_sd_deg**2

    def _hold(self, state: State, chi2: Floats, descents: list[Floats]) -> None:
        """Add what turns cost."""
        tilts = tilts_of(self._problem.layout, state)
        for i, frame in enumerate(state.frames):
            turned = frame.turned_deg + tilts[i]
            chi2[i] += float(self._stiffness[i] * (turned @ turned))
            descents[i][-2:] -= self._stiffness[i] * turned

    def _restrained(self, point: Floats) -> tuple[float, Floats, Floats] | None:
        """χ², descent and normal matrix of the restraints on the structure, if there are any."""
        s, p = self._problem.settings, self._problem.parametrisation
        if not self._bonds:
            return None
        r, rows = restraint_rows(
            p,
            point[: self._problem.layout.structure],
            self._bonds,
            bond_sd_angstrom=s.bond_sd_angstrom,
            u_sd_angstrom2=s.u_sd_angstrom2,
        )
        return self._unit * float(r @ r), self._unit * (rows.T @ r), self._unit * (rows.T @ rows)


def _residuals(state: State, results: Sequence[FrameResult]) -> Floats:
    return np.array([frame_residual(f, r.intensity) for f, r in zip(state.frames, results, strict=True)])


def _size(normal: Floats) -> float:
    return max(float(normal[-1, -1]), 1e-300)


def _felt(mosaicity_deg: float) -> float:
    """∂/∂ ln mosaicity over ∂/∂ mosaicity; nothing at the smallest, whose logarithm would run away."""
    return mosaicity_deg if mosaicity_deg > SMALLEST_MOSAICITY_DEG else 0.0


def _joined(layout: Layout, descent: FrameDescent | None, felt: float) -> Floats:
    """The descent of a frame by its columns."""
    if descent is None:
        raise ValueError("a frame came back without the descent that was asked of it")
    parts = [descent.structure]
    parts += [np.array([descent.thickness])] * (layout.thicknesses > 0)
    parts += [np.array([felt * descent.mosaicity])] * layout.mosaicity
    parts += [descent.orientation] * (layout.tilts > 0)
    return np.concatenate(parts)


def _slopes(layout: Layout, index: int, frame: FrameData, result: FrameResult, felt: float) -> Slopes:
    scale = optimal_scale(intensity=frame.intensity, calculated=result.intensity, weights=frame.weights)
    rows = [scale * result.structure]
    rows += [scale * result.thickness[None]] * (layout.thicknesses > 0)
    rows += [scale * felt * result.mosaicity[None]] * layout.mosaicity
    rows += [scale * result.orientation] * (layout.tilts > 0)
    return Slopes(
        columns=np.append(layout.columns(index), layout.scale_column(index)),
        rows=np.concatenate([*rows, result.intensity[None]]),
        residual=frame.intensity - scale * result.intensity,
        weights=frame.weights,
    )
