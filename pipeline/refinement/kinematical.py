"""Kinematical refinement on F² of averaged (or non-averaged) intensities: I = k |F|²."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from pipeline.refinement.figures import INSTABILITY, figures_of_merit, intensity_weights, optimal_scale
from pipeline.refinement.least_squares import Control, Evaluation, Fit, minimise
from pipeline.refinement.model_factors import structure_factors_with_derivatives
from pipeline.refinement.parameters import (
    OccupancyModel,
    Parametrisation,
    crystal_of,
    parametrise,
    standard_uncertainties,
)
from pipeline.types import MergedReflections, Refinement
from twin.files.errors import InputError
from twin.model.crystal import Crystal
from twin.physics.lattice import Floats, Ints
from twin.physics.symmetry import systematically_absent

COORDINATE_STEP_ANGSTROM = 0.25
DISPLACEMENT_STEP_ANGSTROM2 = 0.01
OCCUPANCY_STEP = 0.25
_WEIGHT_ROUNDS = 3


def step_limits(parametrisation: Parametrisation) -> Floats:
    """(P,) largest shift of each structure parameter in one cycle."""
    cell = parametrisation.crystal.cell
    lengths = {"x": cell.a_angstrom, "y": cell.b_angstrom, "z": cell.c_angstrom}
    kinds = [name.rsplit(".", 1)[1] for name in parametrisation.names]
    return np.array(
        [
            COORDINATE_STEP_ANGSTROM / lengths[kind]
            if kind in lengths
            else OCCUPANCY_STEP
            if kind == "occupancy"
            else DISPLACEMENT_STEP_ANGSTROM2
            for kind in kinds
        ]
    )


def refine_kinematical(
    *,
    model: Crystal,
    merged: MergedReflections,
    kind: Literal["kinematical_averaged", "kinematical_non_averaged"] = "kinematical_averaged",
    anisotropic: bool | Iterable[str] = False,
    occupancy: OccupancyModel = "fixed",
    instability: float = INSTABILITY,
    keep_absent: bool = False,
    control: Control | None = None,
) -> Refinement:
    """Refine coordinates, displacements and (on request) occupancies against merged intensities.

    Systematic absences of the model's space group are left out unless ``keep_absent``.
    """
    parametrisation = parametrise(model, anisotropic=anisotropic, occupancy=occupancy)
    use = np.isfinite(merged.intensity) & np.isfinite(merged.sigma) & (merged.sigma > 0)
    if not keep_absent:
        use &= ~systematically_absent(merged.hkl, model.hall)
    hkl, intensity, sigma = merged.hkl[use], merged.intensity[use], merged.sigma[use]
    parameters = len(parametrisation) + 1
    if len(hkl) <= parameters:
        raise InputError(
            f"{len(hkl)} usable reflections cannot determine the {parameters} parameters of '{model.name}': "
            "at least one more reflection than parameters is needed"
        )
    fit, calculated = _fit_with_weights(
        parametrisation, hkl=hkl, intensity=intensity, sigma=sigma, instability=instability, control=control
    )
    merit = figures_of_merit(
        intensity=intensity, sigma=sigma, calculated=calculated, parameters=parameters, instability=instability
    )
    return Refinement(
        kind=kind,
        crystal=crystal_of(parametrisation, fit.values[1:]),
        parameters=parameters,
        reflections_all=len(hkl),
        reflections_obs=int(merit.observed.sum()),
        r_obs_percent=merit.r_obs_percent,
        r_all_percent=merit.r_all_percent,
        wr_all_percent=merit.wr_all_percent,
        gof_obs=merit.gof_obs,
        hkl=hkl,
        frame=np.full(len(hkl), -1, dtype=np.int64),
        f_obs=merit.f_obs,
        f_calc=merit.f_calc,
        sigma_f=merit.sigma_f,
        observed=merit.observed,
        standard_uncertainties=standard_uncertainties(parametrisation, fit.covariance[1:, 1:]),
        thickness_nm=None,
        frame_scale=None,
        rotation=None,
        verdict=fit.verdict,
        cycles=fit.cycles,
    )


def _fit_with_weights(
    parametrisation: Parametrisation,
    *,
    hkl: Ints,
    intensity: Floats,
    sigma: Floats,
    instability: float,
    control: Control | None,
) -> tuple[Fit, Floats]:
    """Fit with weights whose instability term follows (I_o + 2 I_c) / 3, from the start on and three times over.

    Weights by I_o alone pull the scale down to where intensities are too low (Wilson, Acta Cryst. A32 (1976) 994): with
    the errors that multiple scattering makes, a factor of eight was seen.
    """
    f, _ = structure_factors_with_derivatives(
        parametrisation, values=parametrisation.start, hkl=hkl, derivatives=False
    )
    amplitudes = float(np.abs(f).sum())
    scale = float(np.sqrt(np.clip(intensity, 0.0, None)).sum()) / amplitudes if amplitudes > 0 else 0.0
    calculated = (scale * np.abs(f)) ** 2
    for _ in range(_WEIGHT_ROUNDS):
        level = (np.clip(intensity, 0.0, None) + 2.0 * calculated) / 3.0
        fit, calculated = fit_structure(
            parametrisation,
            hkl=hkl,
            intensity=intensity,
            weights=intensity_weights(intensity=level, sigma=sigma, instability=instability),
            control=control,
        )
        parametrisation = replace(parametrisation, start=fit.values[1:])
    return fit, calculated


def fit_structure(
    parametrisation: Parametrisation,
    *,
    hkl: ArrayLike,
    intensity: Floats,
    weights: Floats,
    control: Control | None = None,
) -> tuple[Fit, Floats]:
    """Fit (scale, structure) to intensities (n,) with weights (n,); the fit and the calculated intensities (n,).

    The scale is eliminated at every point (it is linear) and kept in the normal matrix, so that s.u.s are those of the
    full problem.
    """

    def calculate(values: Floats, derivatives: bool) -> tuple[Floats, Floats]:
        f, jacobian = structure_factors_with_derivatives(
            parametrisation, values=values, hkl=hkl, derivatives=derivatives
        )
        return np.asarray(np.abs(f) ** 2), np.asarray(2.0 * (np.conj(f) * jacobian).real)

    def evaluate(point: Floats, derivatives: bool) -> Evaluation:
        model, jacobian = calculate(point[1:], derivatives)
        scale = optimal_scale(intensity=intensity, calculated=model, weights=weights)
        residual = intensity - scale * model
        chi2 = float((weights * residual**2).sum())
        here = np.concatenate([[scale], point[1:]])
        if not derivatives:
            return Evaluation(chi2=chi2, point=here)
        rows = np.concatenate([model[None], scale * jacobian])
        weighted = rows * weights
        return Evaluation(chi2=chi2, gradient=weighted @ residual, normal=weighted @ rows.T, point=here)

    first, _ = calculate(parametrisation.start, False)
    scale = optimal_scale(intensity=intensity, calculated=first, weights=weights)
    if scale <= 0:
        raise InputError(f"model '{parametrisation.crystal.name}' does not resemble the data: the best scale is zero")
    fit = minimise(
        start=np.concatenate([[scale], parametrisation.start]),
        evaluate=evaluate,
        observations=len(intensity),
        names=("scale", *parametrisation.names),
        rounding=1e-24 * float((weights * intensity**2).sum()),
        max_shift=np.concatenate([[np.inf], step_limits(parametrisation)]),
        control=control,
    )
    calculated, _ = calculate(fit.values[1:], False)
    return fit, fit.values[0] * calculated
