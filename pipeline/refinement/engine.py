"""Calculated intensities of one frame, and their derivatives by structure, thickness and orientation.

Dynamical: Bloch waves on the beams that come within s_g_max of the sphere during the exposure, by a recurrence or by
eigendecompositions, whichever costs less. Kinematical: the limit of the same average for an infinitely weak interaction
(Klar et al., Nature Chemistry 15 (2023) 848, reach it by occupancies near zero): I = |U_g|² ⟨(π t/K)² sinc²(π s t)⟩
over thicknesses and directions.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.refinement.differences import by_differences
from pipeline.refinement.frames import FrameData, block_positions, mosaic_directions
from pipeline.refinement.parameters import Parametrisation
from pipeline.refinement.potential import TablePlan, fill_table, matrix_index, plan_table
from pipeline.refinement.settings import DynamicalSettings
from pipeline.refinement.thickness import node_count, thickness_quadrature
from twin.derivatives.eigen import eigen_intensities, eigen_is_cheaper
from twin.derivatives.intensities import intensities_with_derivatives
from twin.physics.beams import active_beams, coupled_hkl, select_beams
from twin.physics.electrons import wavenumber_per_angstrom
from twin.physics.ewald import excitation_errors
from twin.physics.lattice import Floats, Ints, miller_indices
from twin.physics.propagation import propagate


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class FrameTask:
    """One frame at one point. values: (P,) structure; thickness_angstrom: T; tilt_deg: (2,) turn about x and y of the

    laboratory from the frame's own orientation. structure, orientation, thickness, mosaicity: derivatives to give.
    """

    frame: FrameData
    values: Floats
    thickness_angstrom: float
    tilt_deg: Floats
    mosaicity_deg: float = 0.0
    structure: bool = False
    orientation: bool = False
    thickness: bool = False
    mosaicity: bool = False
    scan_angstrom: Floats | None = None


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class FrameResult:
    """intensity (M,), for unit incident flux. Derivatives: (P, M), (2, M) by degrees, (M,) by ln T and by the

    mosaicity in degrees; empty if not asked.
    scan: (J, M) intensities of slabs of the asked thicknesses, else empty.
    """

    intensity: Floats
    structure: Floats
    orientation: Floats
    thickness: Floats
    scan: Floats
    mosaicity: Floats = field(default_factory=lambda: np.zeros(0))


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _FramePlan:
    hkl: Ints
    index: Ints
    rows: Ints


def turn_matrix(tilt_deg: Floats) -> Floats:
    """Rotation (3, 3) by the vector (tilt_x, tilt_y, 0) in degrees, Rodrigues' formula."""
    x, y = np.radians(tilt_deg)
    cross = np.array([[0.0, 0.0, y], [0.0, 0.0, -x], [-y, x, 0.0]])
    angle = float(np.hypot(x, y))
    return np.asarray(
        np.eye(3) + np.sinc(angle / np.pi) * cross + 0.5 * np.sinc(angle / (2 * np.pi)) ** 2 * cross @ cross
    )


class FrameEngine:
    """Evaluates frames; keeps the tables of the last structures and the beams of the frames that it has seen."""

    def __init__(
        self,
        *,
        parametrisation: Parametrisation,
        settings: DynamicalSettings,
        energy_kev: float,
        structures_kept: int = 1,
    ) -> None:
        self._parametrisation = parametrisation
        self._settings = settings
        self._k = wavenumber_per_angstrom(energy_kev=energy_kev)
        self._table_plan: TablePlan = plan_table(
            parametrisation=parametrisation, energy_kev=energy_kev, g_max_per_angstrom=settings.g_max_per_angstrom
        )
        self._energy_kev = energy_kev
        self._kept: dict[bytes, tuple[bool, NDArray[Any], NDArray[Any]]] = {}
        self._structures_kept = structures_kept
        self._exact: FrameEngine | None = None
        self._plans: dict[int, tuple[bytes, _FramePlan]] = {}

    def evaluate(self, task: FrameTask) -> FrameResult:
        turned = turn_matrix(task.tilt_deg) @ task.frame.reciprocal_lab
        if self._settings.kinematical:
            return self._kinematical(task, turned)
        return self._dynamical(task, turned)

    def beams_of(self, frame: FrameData) -> Ints:
        """hkl (N, 3) of the beams that take part in a frame, (0, 0, 0) first."""
        return self._plan(frame).hkl

    def _tables(self, values: Floats, derivatives: bool) -> tuple[NDArray[Any], NDArray[Any]]:
        key = values.tobytes()
        if key not in self._kept or (derivatives and not self._kept[key][0]):
            u, du = fill_table(
                self._table_plan, parametrisation=self._parametrisation, values=values, derivatives=derivatives
            )
            while len(self._kept) >= self._structures_kept:
                del self._kept[next(iter(self._kept))]
            self._kept[key] = (derivatives, u, du)
        return self._kept[key][1:]

    def _exactly(self, task: FrameTask) -> FrameResult:
        """The frame in 64 bit; tables of as many structures are kept as differences need."""
        if self._exact is None:
            self._exact = FrameEngine(
                parametrisation=self._parametrisation,
                settings=replace(self._settings, single_precision=False),
                energy_kev=self._energy_kev,
                structures_kept=len(self._parametrisation) + 1,
            )
        return self._exact.evaluate(task)

    def _plan(self, frame: FrameData) -> _FramePlan:
        key = frame.reciprocal_lab.tobytes()
        kept = self._plans.get(frame.index)
        if kept is not None and kept[0] == key:
            return kept[1]
        s = self._settings
        candidates = coupled_hkl(
            miller_indices(reciprocal=frame.reciprocal_lab, g_max_per_angstrom=s.g_max_per_angstrom),
            self._parametrisation.crystal.hall,
        )
        chosen = candidates[
            select_beams(
                reciprocal_lab=frame.reciprocal_lab,
                hkl=candidates,
                directions=frame.directions,
                wavenumber_per_angstrom=self._k,
                g_max_per_angstrom=s.g_max_per_angstrom,
                s_max_per_angstrom=s.s_g_max_per_angstrom,
            )
        ]
        known = {tuple(h): i for i, h in enumerate(chosen.tolist())}
        missing = [h for h in frame.hkl.tolist() if tuple(h) not in known]
        hkl = np.concatenate([chosen, np.array(missing, dtype=np.int64).reshape(-1, 3)])
        known = {tuple(h): i for i, h in enumerate(hkl.tolist())}
        rows = np.array([known[tuple(h)] for h in frame.hkl.tolist()], dtype=np.int64)
        plan = _FramePlan(hkl=hkl, index=matrix_index(self._table_plan, hkl), rows=rows)
        self._plans[frame.index] = (key, plan)
        return plan

    def _quadrature(self, thickness_angstrom: float) -> tuple[Floats, Floats]:
        nodes = node_count(
            thickness_angstrom=thickness_angstrom, bandwidth_per_angstrom=2 * self._settings.s_g_max_per_angstrom
        )
        u, weights = thickness_quadrature(model=self._settings.thickness_model, nodes=nodes)
        return u * thickness_angstrom, weights

    def _excitation(self, g_lab: Floats, task: FrameTask) -> tuple[Floats, Floats]:
        """s (N, S) and its derivatives (Q, N, S) by what is asked for.

        By the two tilts in degrees, ∂s = −(e × g)·d; by the mosaicity, ∂s = −g·∂d.
        """
        directions, slope = task.frame.directions, None
        if task.frame.across is not None and (task.mosaicity or task.mosaicity_deg > 0):
            directions, slope = mosaic_directions(
                directions=directions,
                across=task.frame.across,
                turns=block_positions(self._settings.mosaic_blocks),
                mosaicity_deg=task.mosaicity_deg,
            )
        s = excitation_errors(g_lab=g_lab, directions=directions, wavenumber_per_angstrom=self._k)
        rows = np.zeros((0, *s.shape))
        if task.orientation:
            moved = np.cross(np.eye(3)[:2][:, None, :], g_lab[None, :, :])
            rows = np.concatenate([rows, -np.radians(1.0) * (moved @ directions.T)])
        if task.mosaicity and slope is not None:
            rows = np.concatenate([rows, -(g_lab @ slope.T)[None]])
        return s, rows

    def _active(self, task: FrameTask, plan: _FramePlan) -> NDArray[np.bool_] | None:
        """(N, S): beams near the sphere at each step, for the frame before it is turned, so that it stays as it is."""
        if not self._settings.beams_per_step:
            return None
        directions = task.frame.directions
        if task.frame.across is not None and (task.mosaicity or task.mosaicity_deg > 0):
            directions = mosaic_directions(
                directions=directions,
                across=task.frame.across,
                turns=block_positions(self._settings.mosaic_blocks),
                mosaicity_deg=self._settings.mosaicity_start_deg,
            )[0]
        return active_beams(
            g_lab=plan.hkl @ task.frame.reciprocal_lab.T,
            directions=directions,
            wavenumber_per_angstrom=self._k,
            s_max_per_angstrom=self._settings.s_g_max_per_angstrom,
        )

    def _dynamical(self, task: FrameTask, lab: Floats) -> FrameResult:
        plan = self._plan(task.frame)
        s, ds = self._excitation(plan.hkl @ lab.T, task)
        active = self._active(task, plan)
        if task.scan_angstrom is not None:
            u, _ = self._tables(task.values, False)
            return _slabs(self._propagated(u[plan.index], s, active, plan, task.scan_angstrom))
        nodes, weights = self._quadrature(task.thickness_angstrom)
        n, count = len(plan.hkl), len(self._parametrisation) if task.structure else 0
        by_eigen = eigen_is_cheaper(
            excitation_error=s,
            active=active,
            rows=plan.rows,
            thickness_angstrom=float(nodes.max()),
            parameters=count,
            turns=len(ds),
        )
        if not by_eigen and active is not None and _wants_derivatives(task):
            return by_differences(task, evaluate=self._exactly)
        u, du = self._tables(task.values, task.structure)
        if not by_eigen and not _wants_derivatives(task):
            psi = self._propagated(u[plan.index], s, active, plan, nodes)
            return _plain(weights @ np.mean(np.abs(psi).astype(np.float64) ** 2, axis=2))
        solve = eigen_intensities if by_eigen else intensities_with_derivatives
        intensity, rows = solve(
            potential=u[plan.index],
            potential_derivatives=du[:count][:, plan.index] if count else np.zeros((0, n, n)),
            excitation_error=s,
            excitation_derivatives=ds,
            wavenumber_per_angstrom=self._k,
            thickness_angstrom=nodes,
            thickness_weights=weights,
            azimuth_weights=np.full(s.shape[1], 1.0 / s.shape[1]),
            rows=plan.rows,
            active=active,
            thickness_scale_derivative=task.thickness,
            dtype=self._dtype,
        )
        turn = 2 if task.orientation else 0
        return FrameResult(
            intensity=intensity,
            structure=rows[:count],
            orientation=rows[count : count + turn],
            thickness=rows[-1] if task.thickness else np.zeros(len(intensity)),
            scan=np.zeros((0, len(intensity))),
            mosaicity=rows[count + turn] if len(ds) > turn else np.zeros(0),
        )

    def _propagated(
        self, potential: NDArray[Any], s: Floats, active: NDArray[np.bool_] | None, plan: _FramePlan, thickness: Floats
    ) -> NDArray[np.complex128]:
        return propagate(
            potential=potential,
            excitation_error=s,
            wavenumber_per_angstrom=self._k,
            thickness_angstrom=thickness,
            rows=plan.rows,
            active=active,
            dtype=self._dtype,
        )

    @property
    def _dtype(self) -> type[np.float32] | type[np.float64]:
        return np.float32 if self._settings.single_precision else np.float64

    def _kinematical(self, task: FrameTask, lab: Floats) -> FrameResult:
        hkl = task.frame.hkl
        limits = (np.array(self._table_plan.shape) - 1) // 2
        cells = np.ravel_multi_index(tuple((hkl + limits).T), self._table_plan.shape)
        table, derivative_table = self._tables(task.values, task.structure)
        u, du = table[cells], derivative_table[:, cells]
        s, ds = self._excitation(hkl @ lab.T, task)
        nodes, weights = self._quadrature(task.thickness_angstrom)
        power = np.abs(u) ** 2
        if task.scan_angstrom is not None:
            kernel, _, _ = _weak_limit(s, task.scan_angstrom, self._k)
            empty = np.zeros(0)
            return FrameResult(
                intensity=empty,
                structure=empty,
                orientation=empty,
                thickness=empty,
                scan=power * kernel.mean(axis=2),
            )
        kernel, by_s, by_log_t = _weak_limit(s, nodes, self._k)
        mean = np.einsum("j,jms->m", weights, kernel) / s.shape[1]
        turned = power * np.einsum("j,jms,qms->qm", weights, by_s, ds, optimize=True) / s.shape[1]
        return FrameResult(
            intensity=power * mean,
            structure=2.0 * (np.conj(u) * du).real * mean if task.structure else np.zeros((0, len(u))),
            orientation=turned[:2] if task.orientation else turned[:0],
            thickness=power * np.einsum("j,jms->m", weights, by_log_t) / s.shape[1],
            scan=np.zeros((0, len(u))),
            mosaicity=turned[-1] if len(ds) > 2 * task.orientation else np.zeros(0),
        )


def _plain(intensity: Floats) -> FrameResult:
    """Intensities (M,) alone."""
    none = np.zeros((0, len(intensity)))
    return FrameResult(intensity=intensity, structure=none, orientation=none, thickness=np.zeros(0), scan=none)


def _slabs(psi: NDArray[np.complex128]) -> FrameResult:
    """Intensities of slabs (J, M) alone, from their amplitudes (J, M, S)."""
    slabs = np.mean(np.abs(psi).astype(np.float64) ** 2, axis=2)
    none = np.zeros((0, psi.shape[1]))
    return FrameResult(intensity=np.zeros(0), structure=none, orientation=none, thickness=np.zeros(0), scan=slabs)


def _wants_derivatives(task: FrameTask) -> bool:
    return task.structure or task.orientation or task.thickness or task.mosaicity


def _weak_limit(s: Floats, t: Floats, k: float) -> tuple[Floats, Floats, Floats]:
    """(π t/K)² sinc²(π s t) (J, M, S) for s (M, S) and t (J,), and its derivatives by s and by ln t."""
    x = s[None] * t[:, None, None]
    a = np.pi * x
    sinc = np.sinc(x)
    small = np.abs(a) < 1e-4
    safe = np.where(small, 1.0, a)
    slope = np.where(small, -a / 3.0, (np.cos(a) - sinc) / safe)
    front = (np.pi * t[:, None, None] / k) ** 2
    return front * sinc**2, 2.0 * front * sinc * slope * np.pi * t[:, None, None], 2.0 * front * sinc * np.cos(a)
