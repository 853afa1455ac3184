"""Refinement on averaged intensities made by the same model."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from pipeline.refinement.figures import intensity_weights
from pipeline.refinement.kinematical import fit_structure, refine_kinematical
from pipeline.refinement.parameters import crystal_of, parametrise
from pipeline.types import MergedReflections
from twin.model.crystal import Crystal
from twin.physics.lattice import miller_indices, reciprocal_matrix
from twin.physics.structure_factors import structure_factors
from twin.physics.symmetry import asymmetric_hkl, systematically_absent


def merged_from(model: Crystal, *, noise: float, rng: np.random.Generator, friedel: bool = True) -> MergedReflections:
    hkl = miller_indices(reciprocal=reciprocal_matrix(model.cell), g_max_per_angstrom=1.4)[1:]
    hkl = np.unique(asymmetric_hkl(hkl, model.hall, friedel=friedel), axis=0)
    hkl = hkl[~systematically_absent(hkl, model.hall)]
    intensity = 37.0 * np.abs(structure_factors(crystal=model, hkl=hkl)) ** 2
    sigma = np.hypot(0.05 * intensity, 0.01 * intensity.mean())
    measured = intensity + (noise / 0.05) * sigma * rng.standard_normal(len(intensity))
    return MergedReflections(
        hkl=hkl,
        intensity=measured,
        sigma=sigma,
        multiplicity=np.ones(len(hkl), dtype=np.int64),
        hall="-P 1",
        r_int_percent=0.0,
        completeness_percent=100.0,
        redundancy=1.0,
        g_max_per_angstrom=1.4,
    )


def moved(model: Crystal, *, by: float, occupancy: str) -> Crystal:
    p = parametrise(model, occupancy=occupancy)  # type: ignore[arg-type]
    shift = {"u": 0.002, "o": -0.1}
    return crystal_of(p, p.start + [shift.get(n.split(".")[1][0], by) for n in p.names])


@pytest.mark.parametrize("name", ["brookite", "ito", "anatase", "mgti2o5", "quartz", "zincite"])
def test_exact_data_return_the_truth(name: str, crystals: dict[str, Crystal]) -> None:
    model, occupancy = crystals[name], "composition" if name == "mgti2o5" else "fixed"
    merged = merged_from(model, noise=0.0, rng=np.random.default_rng(0))
    result = refine_kinematical(
        model=moved(model, by=0.006, occupancy=occupancy),
        merged=merged,
        occupancy=occupancy,  # type: ignore[arg-type]
    )
    truth = parametrise(model, occupancy=occupancy)  # type: ignore[arg-type]
    found = parametrise(result.crystal, occupancy=occupancy)  # type: ignore[arg-type]
    shift = found.start - truth.start
    if name == "zincite":  # the origin along c is arbitrary: only the distance between the two atoms counts
        shift[0] = result.crystal.sites[1].fract[2] - result.crystal.sites[0].fract[2] - 0.382
    np.testing.assert_allclose(shift, 0.0, atol=1e-9)
    assert result.r_all_percent < 1e-5
    assert "within rounding" in result.verdict


def test_pulls_are_standard_normal(crystals: dict[str, Crystal]) -> None:
    """Deviations over s.u.s on noisy data have mean square one, for coordinates, U and occupancy alike."""
    model, rng, pulls = crystals["mgti2o5"], np.random.default_rng(4), []
    truth = parametrise(model, occupancy="composition")
    for _ in range(30):
        result = refine_kinematical(
            model=model, merged=merged_from(model, noise=0.05, rng=rng), occupancy="composition", instability=0.0
        )
        found = parametrise(result.crystal, occupancy="composition")
        su = [result.standard_uncertainties[n] for n in truth.names]
        pulls.append((found.start - truth.start) / su)
    assert 0.8 < np.mean(np.square(pulls)) < 1.25
    assert abs(np.mean(pulls)) < 0.15


def test_anisotropic_data_are_found_anisotropic(crystals: dict[str, Crystal]) -> None:
    p = parametrise(crystals["brookite"], anisotropic=True)
    rng = np.random.default_rng(1)
    values = p.start + [rng.uniform(-0.001, 0.001) if ".u" in n else 0.0 for n in p.names]
    truth = crystal_of(p, values)
    merged = merged_from(truth, noise=0.0, rng=rng)
    iso = refine_kinematical(model=crystals["brookite"], merged=merged)
    aniso = refine_kinematical(model=iso.crystal, merged=merged, anisotropic=True)
    np.testing.assert_allclose(
        [s.u_aniso_angstrom2 for s in aniso.crystal.sites], [s.u_aniso_angstrom2 for s in truth.sites], atol=1e-9
    )
    assert aniso.parameters == 28
    assert iso.r_all_percent > 0.1


def test_too_few_reflections_are_refused(crystals: dict[str, Crystal]) -> None:
    merged = merged_from(crystals["brookite"], noise=0.0, rng=np.random.default_rng(0))
    few = replace(
        merged,
        hkl=merged.hkl[:12],
        intensity=merged.intensity[:12],
        sigma=merged.sigma[:12],
        multiplicity=merged.multiplicity[:12],
    )
    with pytest.raises(ValueError, match="cannot determine the 13 parameters"):
        refine_kinematical(model=crystals["brookite"], merged=few)


def test_errors_far_beyond_sigma_do_not_pull_the_scale_down(crystals) -> None:  # type: ignore[no-untyped-def]
    """Intensities off by a factor of two, as multiple scattering leaves them, with sigmas of two percent.

    By weights of the observed intensities alone, those that are too low decide; less so with calculated ones in them.
    """
    generator, model = np.random.default_rng(4), crystals["brookite"]
    merged = merged_from(model, noise=0.0, rng=generator)
    spoilt = merged.intensity * np.exp(0.7 * generator.standard_normal(len(merged.intensity)))
    merged = replace(merged, intensity=spoilt, sigma=0.02 * spoilt)
    result = refine_kinematical(model=model, merged=merged)
    by_observed, calculated = fit_structure(
        parametrise(model),
        hkl=merged.hkl,
        intensity=spoilt,
        weights=intensity_weights(intensity=spoilt, sigma=merged.sigma),
    )
    assert by_observed.converged
    old, new = (f.sum() / result.f_obs.sum() for f in (np.sqrt(calculated), result.f_calc))
    assert old < 0.9
    assert abs(new - 1.0) < abs(old - 1.0)
