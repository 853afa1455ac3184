"""Calculated intensities of one frame, and their derivatives by structure, thickness and orientation.

Dynamical: Bloch waves on the beams that come within s_g_max of the sphere during the exposure, by a recurrence or by
eigendecompositions, whichever costs less. Kinematical: the limit of the same average for an infinitely weak interaction
(Klar et al., Nature Chemistry 15 (2023) 848, reach it by occupancies near zero).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.refinement.beams import FramePlan, beams_at_each_step, plan_frame, task_excitation
from pipeline.refinement.differences import by_differences
from pipeline.refinement.figures import optimal_scale
from pipeline.refinement.frames import FrameData
from pipeline.refinement.parameters import Parametrisation
from pipeline.refinement.potential import TablePlan, fill_table, plan_table
from pipeline.refinement.settings import DynamicalSettings
from pipeline.refinement.tasks import FrameDescent, FrameResult, FrameTask, plain_result, scan_result, turn_matrix
from pipeline.refinement.thickness import node_count, thickness_quadrature
from pipeline.refinement.weak import weak_result
from twin.derivatives.adjoint import intensity_gradient
from twin.derivatives.eigen import eigen_intensities, eigen_is_cheaper
from twin.derivatives.intensities import intensities_with_derivatives
from twin.physics.electrons import wavenumber_per_angstrom
from twin.physics.lattice import Floats, Ints
from twin.physics.propagation import propagate


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Diffraction:
    """What a frame diffracts with: excitation errors (N, S), their derivatives (Q, N, S), active (N, S) or None."""

    plan: FramePlan
    s: Floats
    ds: Floats
    active: NDArray[np.bool_] | None
    nodes: Floats
    weights: Floats


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
        self._plans: dict[int, tuple[bytes, FramePlan]] = {}

    def evaluate(self, task: FrameTask) -> FrameResult:
        turned = turn_matrix(task.tilt_deg) @ task.frame.reciprocal_lab
        if not self._settings.kinematical:
            return self._dynamical(task, turned)
        result = self._kinematical(task, turned)
        return replace(result, descent=_descent_of(task, result)) if task.descent else result

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

    def _plan(self, frame: FrameData) -> FramePlan:
        key = frame.reciprocal_lab.tobytes()
        kept = self._plans.get(frame.index)
        if kept is None or kept[0] != key:
            plan = plan_frame(
                frame,
                settings=self._settings,
                hall=self._parametrisation.crystal.hall,
                table=self._table_plan,
                wavenumber_per_angstrom=self._k,
            )
            kept = self._plans[frame.index] = (key, plan)
        return kept[1]

    def _quadrature(self, thickness_angstrom: float) -> tuple[Floats, Floats]:
        nodes = node_count(
            thickness_angstrom=thickness_angstrom, bandwidth_per_angstrom=2 * self._settings.s_g_max_per_angstrom
        )
        u, weights = thickness_quadrature(model=self._settings.thickness_model, nodes=nodes)
        return u * thickness_angstrom, weights.copy()  # kernels are compiled for arrays that may be written

    def _dynamical(self, task: FrameTask, lab: Floats) -> FrameResult:
        plan = self._plan(task.frame)
        s, ds = task_excitation(plan.hkl @ lab.T, task, settings=self._settings, wavenumber_per_angstrom=self._k)
        active = beams_at_each_step(task, plan.hkl, settings=self._settings, wavenumber_per_angstrom=self._k)
        nodes, weights = self._quadrature(task.thickness_angstrom)
        here = _Diffraction(plan=plan, s=s, ds=ds, active=active, nodes=nodes, weights=weights)
        if task.scan_angstrom is not None:
            return scan_result(_mean_power(self._propagated(task, here, task.scan_angstrom)))
        if task.descent:
            return self._descending(task, here)
        if not task.wants_derivatives and not self._by_eigen(task, here):
            return plain_result(weights @ _mean_power(self._propagated(task, here, nodes)))
        if active is not None and not self._by_eigen(task, here):
            return by_differences(task, evaluate=self._exactly)
        return self._differentiated(task, here)

    def _by_eigen(self, task: FrameTask, here: _Diffraction) -> bool:
        return eigen_is_cheaper(
            excitation_error=here.s,
            active=here.active,
            rows=here.plan.rows,
            thickness_angstrom=float(here.nodes.max()),
            parameters=len(self._parametrisation) if task.structure else 0,
            turns=len(here.ds),
        )

    def _differentiated(self, task: FrameTask, here: _Diffraction) -> FrameResult:
        """Intensities and the asked derivatives of each."""
        u, du = self._tables(task.values, task.structure)
        n, count = len(here.plan.hkl), len(self._parametrisation) if task.structure else 0
        solve = eigen_intensities if self._by_eigen(task, here) else intensities_with_derivatives
        intensity, rows = solve(
            potential=u[here.plan.index],
            potential_derivatives=du[:count][:, here.plan.index] if count else np.zeros((0, n, n)),
            excitation_error=here.s,
            excitation_derivatives=here.ds,
            wavenumber_per_angstrom=self._k,
            thickness_angstrom=here.nodes,
            thickness_weights=here.weights,
            azimuth_weights=np.full(here.s.shape[1], 1.0 / here.s.shape[1]),
            rows=here.plan.rows,
            active=here.active,
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
            mosaicity=rows[count + turn] if len(here.ds) > turn else np.zeros(0),
        )

    def _descending(self, task: FrameTask, here: _Diffraction) -> FrameResult:
        """Intensities and the descent of χ², in reverse."""
        u, du = self._tables(task.values, task.structure)
        found = intensity_gradient(
            potential=u[here.plan.index],
            excitation_error=here.s,
            wavenumber_per_angstrom=self._k,
            thickness_angstrom=here.nodes,
            thickness_weights=here.weights,
            azimuth_weights=np.full(here.s.shape[1], 1.0 / here.s.shape[1]),
            rows=here.plan.rows,
            slope=lambda intensity: _pull(task.frame, intensity),
            active=here.active,
            dtype=self._dtype,
        )
        turned = np.einsum("qns,ns->q", here.ds, found.excitation)
        structure = np.zeros(0)
        if task.structure:
            slopes, y = du[:, here.plan.cells], found.potential
            structure = slopes.real @ np.bincount(here.plan.member, weights=y.real.ravel())
            if np.iscomplexobj(y):
                structure = structure - slopes.imag @ np.bincount(here.plan.member, weights=y.imag.ravel())
        descent = FrameDescent(
            structure=structure,
            orientation=turned[:2] if task.orientation else np.zeros(0),
            thickness=found.thickness if task.thickness else 0.0,
            mosaicity=float(turned[-1]) if len(turned) > 2 * task.orientation else 0.0,
        )
        return replace(plain_result(found.intensity), descent=descent)

    def _propagated(self, task: FrameTask, here: _Diffraction, thickness: Floats) -> NDArray[np.complex128]:
        u, _ = self._tables(task.values, False)
        return propagate(
            potential=u[here.plan.index],
            excitation_error=here.s,
            wavenumber_per_angstrom=self._k,
            thickness_angstrom=thickness,
            rows=here.plan.rows,
            active=here.active,
            dtype=self._dtype,
        )

    @property
    def _dtype(self) -> type[np.float32] | type[np.float64]:
        return np.float32 if self._settings.single_precision else np.float64

    def _kinematical(self, task: FrameTask, lab: Floats) -> FrameResult:
        limits = (np.array(self._table_plan.shape) - 1) // 2
        cells = np.ravel_multi_index(tuple((task.frame.hkl + limits).T), self._table_plan.shape)
        table, derivatives = self._tables(task.values, task.structure)
        return weak_result(
            task,
            potential=table[cells],
            derivatives=derivatives[:, cells],
            excitation=task_excitation(
                task.frame.hkl @ lab.T, task, settings=self._settings, wavenumber_per_angstrom=self._k
            ),
            quadrature=self._quadrature(task.thickness_angstrom),
            wavenumber_per_angstrom=self._k,
        )


def _mean_power(psi: NDArray[np.complex128]) -> Floats:
    """Intensities (J, M) from amplitudes (J, M, S)."""
    return np.asarray(np.mean(psi.real**2 + psi.imag**2, axis=2, dtype=np.float64))


def _pull(frame: FrameData, intensity: Floats) -> Floats:
    """−½ ∂χ²/∂I (M,), χ² = Σ w (I_o − k I)² with its best scale k, by which χ² does not change."""
    scale = optimal_scale(intensity=frame.intensity, calculated=intensity, weights=frame.weights)
    return np.asarray(scale * frame.weights * (frame.intensity - scale * intensity))


def _descent_of(task: FrameTask, result: FrameResult) -> FrameDescent:
    """The descent from derivatives of every intensity."""
    pull = _pull(task.frame, result.intensity)
    return FrameDescent(
        structure=result.structure @ pull,
        orientation=result.orientation @ pull,
        thickness=float(result.thickness @ pull) if task.thickness else 0.0,
        mosaicity=float(result.mosaicity @ pull) if result.mosaicity.size else 0.0,
    )
