"""Intensities of a frame with weak beams folded into the potential, as Dyngo's ``usebethe`` has them.

Beams that are farther from the sphere than the strong ones act on these by second order (Bethe, Ann. Phys. 87 (1928)
55): with A_gg = 2K s_g, eliminating the weak beams w from (A − λ) ψ = 0 for eigenvalues λ that are small beside 2K s_w
gives A'_gh = U_gh − Σ_w U_gw U_wh / (2K s_w), diagonal included. The mean over a wedge is taken in closed form: that of
exp(i ω t) over 0 < t < T is (exp(i ω T) − 1) / (i ω T).
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.refinement.beams import FramePlan, plan_frame, task_excitation
from pipeline.refinement.parameters import Parametrisation
from pipeline.refinement.potential import fill_table, plan_table
from pipeline.refinement.settings import DynamicalSettings
from pipeline.refinement.tasks import FrameTask
from twin.physics.electrons import wavenumber_per_angstrom
from twin.physics.lattice import Floats


class BetheEngine:
    """Intensities of wedges: beams within s_g_max of ``settings`` are coupled exactly at each step, those up to

    ``weak_s_max_per_angstrom`` folded in.
    """

    def __init__(
        self,
        *,
        parametrisation: Parametrisation,
        settings: DynamicalSettings,
        energy_kev: float,
        weak_s_max_per_angstrom: float,
    ) -> None:
        self._wide = replace(settings, s_g_max_per_angstrom=weak_s_max_per_angstrom)
        self._strong = settings.s_g_max_per_angstrom
        self._hall = parametrisation.crystal.hall
        self._k = wavenumber_per_angstrom(energy_kev=energy_kev)
        self._table = plan_table(
            parametrisation=parametrisation, energy_kev=energy_kev, g_max_per_angstrom=settings.g_max_per_angstrom
        )
        self._u, _ = fill_table(
            self._table, parametrisation=parametrisation, values=parametrisation.start, derivatives=False
        )

    def intensity(self, task: FrameTask) -> Floats:
        """(M,) of the frame's reflections, of the structure that the engine was made for."""
        plan = plan_frame(
            task.frame, settings=self._wide, hall=self._hall, table=self._table, wavenumber_per_angstrom=self._k
        )
        lab = task.frame.reciprocal_lab
        s, _ = task_excitation(plan.hkl @ lab.T, task, settings=self._wide, wavenumber_per_angstrom=self._k)
        potential = self._u[plan.index]
        total = np.zeros(len(plan.rows))
        for column in s.T:
            total += self._step(plan, potential, column, task.thickness_angstrom)
        return np.asarray(total / s.shape[1])

    def _step(self, plan: FramePlan, potential: NDArray[Any], s: Floats, thickness_angstrom: float) -> Floats:
        """(M,) intensities at one step; beams that are not strong there have none."""
        strong = np.abs(s) < self._strong
        strong[0] = True
        weak = ~strong & (np.abs(s) < self._wide.s_g_max_per_angstrom)
        matrix = potential[np.ix_(strong, strong)].copy()
        matrix[np.diag_indices_from(matrix)] = 2.0 * self._k * s[strong]
        coupling = potential[np.ix_(strong, weak)]
        matrix -= (coupling / (2.0 * self._k * s[weak])) @ coupling.conj().T
        values, vectors = np.linalg.eigh(matrix)
        place = np.full(len(s), -1)
        place[strong] = np.arange(int(strong.sum()))
        seen = place[plan.rows] >= 0
        terms = vectors[place[plan.rows[seen]]] * vectors[0].conj()
        phase = np.pi * thickness_angstrom / self._k * np.subtract.outer(values, values)
        small = np.abs(phase) < 1e-6
        safe = np.where(small, 1.0, phase)
        mean = np.where(small, 1.0 + 0.5j * phase, (np.exp(1j * safe) - 1.0) / (1j * safe))
        out = np.zeros(len(plan.rows))
        out[seen] = np.sum((terms @ mean) * terms.conj(), axis=1).real
        return out
