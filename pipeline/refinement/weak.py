"""Intensities of a frame in the limit of an infinitely weak interaction: |U_g|² ⟨(π t/K)² sinc²(π s t)⟩."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.refinement.tasks import FrameResult, FrameTask, scan_result
from twin.physics.lattice import Floats


def weak_result(
    task: FrameTask,
    *,
    potential: NDArray[Any],
    derivatives: NDArray[Any],
    excitation: tuple[Floats, Floats],
    quadrature: tuple[Floats, Floats],
    wavenumber_per_angstrom: float,
) -> FrameResult:
    """potential: (M,) U_g; derivatives: (P, M); excitation: s (M, S) and its derivatives (Q, M, S), mosaicity last."""
    (s, ds), (nodes, weights), k = excitation, quadrature, wavenumber_per_angstrom
    power = np.abs(potential) ** 2
    if task.scan_angstrom is not None:
        kernel, _, _ = weak_limit(s, task.scan_angstrom, k)
        return scan_result(power * kernel.mean(axis=2))
    kernel, by_s, by_log_t = weak_limit(s, nodes, k)
    mean = np.einsum("j,jms->m", weights, kernel) / s.shape[1]
    turned = power * np.einsum("j,jms,qms->qm", weights, by_s, ds, optimize=True) / s.shape[1]
    none = np.zeros((0, len(potential)))
    return FrameResult(
        intensity=power * mean,
        structure=2.0 * (np.conj(potential) * derivatives).real * mean if task.structure else none,
        orientation=turned[:2] if task.orientation else none,
        thickness=power * np.einsum("j,jms->m", weights, by_log_t) / s.shape[1],
        scan=none,
        mosaicity=turned[-1] if len(ds) > 2 * task.orientation else np.zeros(0),
    )


def weak_limit(s: Floats, t: Floats, k: float) -> tuple[Floats, Floats, Floats]:
    """(π t/K)² sinc²(π s t) (J, M, S) for s (M, S) and t (J,), and its derivatives by s and by ln t."""
    x = s[None] * t[:, None, None]
    a = np.pi * x
    sinc = np.sinc(x)
    small = np.abs(a) < 1e-4
    safe = np.where(small, 1.0, a)
    slope = np.where(small, -a / 3.0, (np.cos(a) - sinc) / safe)
    front = (np.pi * t[:, None, None] / k) ** 2
    return front * sinc**2, 2.0 * front * sinc * slope * np.pi * t[:, None, None], 2.0 * front * sinc * np.cos(a)
