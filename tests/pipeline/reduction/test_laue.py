"""Laue classes: what noise hides, what it must not, and what it says when it cannot decide."""

from __future__ import annotations

import numpy as np
import pytest

from pipeline.reduction.laue import laue_evidence
from twin.physics.lattice import miller_indices, reciprocal_matrix
from twin.physics.structure_factors import structure_factors


def _intensities(crystal, *, noise, error, seed=1, share=0.5):
    """Part of a sphere of hkl with counting noise (``noise`` of the typical intensity) and a relative error."""
    rng = np.random.default_rng(seed)
    hkl = miller_indices(reciprocal=reciprocal_matrix(crystal.cell), g_max_per_angstrom=0.9)[1:]
    f2 = np.abs(structure_factors(crystal=crystal, hkl=hkl)) ** 2
    taken = rng.random(len(f2)) < share
    typical = np.median(f2[f2 > 1e-6])
    sigma = noise * np.sqrt(f2 * typical + typical**2)
    intensity = f2 * (1 + error * rng.normal(size=len(f2))) + sigma * rng.normal(size=len(f2))
    return hkl[taken], intensity[taken], sigma[taken]


@pytest.mark.parametrize("noise", [0.02, 0.3, 1.0])
@pytest.mark.parametrize("error", [0.05, 0.2])
def test_noise_alone_never_takes_the_class(synthetic, noise, error) -> None:
    """R_int is 3 % or 25 %: of a right class it stays at what the sigmas and the relative error predict."""
    hkl, intensity, sigma = _intensities(synthetic.BROOKITE, noise=noise, error=error)
    evidence = laue_evidence(hkl=hkl, intensity=intensity, sigma=sigma, system="orthorhombic")
    assert evidence.hall == "-P 2 2"
    assert evidence.decided


@pytest.mark.parametrize("noise", [0.05, 0.5])
def test_triclinic_intensities_on_an_orthorhombic_lattice(synthetic, noise) -> None:
    rng = np.random.default_rng(2)
    hkl, _, _ = _intensities(synthetic.BROOKITE, noise=0.1, error=0.0, share=1.0)
    first = np.array([h[np.flatnonzero(h)[0]] > 0 for h in hkl])
    _, pair = np.unique(np.where(first[:, None], hkl, -hkl), axis=0, return_inverse=True)
    wilson = rng.exponential(size=pair.max() + 1)[pair.reshape(-1)]
    sigma = np.full(len(hkl), noise)
    evidence = laue_evidence(
        hkl=hkl, intensity=wilson + sigma * rng.normal(size=len(hkl)), sigma=sigma, system="orthorhombic"
    )
    assert evidence.hall == "-P 1"


def test_pseudosymmetric_m3_is_told_from_m3m(synthetic) -> None:
    """The strong reflections of bixbyite obey m-3m; the weak ones between them do not."""
    hkl, intensity, sigma = _intensities(synthetic.ITO, noise=0.02, error=0.05)
    evidence = laue_evidence(hkl=hkl, intensity=intensity, sigma=sigma, system="cubic")
    assert evidence.hall == "-P 2 2 3"


def test_too_few_equivalents_are_said(synthetic) -> None:
    hkl, intensity, sigma = _intensities(synthetic.BROOKITE, noise=0.1, error=0.05, share=0.03)
    evidence = laue_evidence(hkl=hkl, intensity=intensity, sigma=sigma, system="orthorhombic")
    assert not evidence.decided
    assert "not decided" in evidence.sentence()


def test_the_same_evidence_twice(synthetic) -> None:
    hkl, intensity, sigma = _intensities(synthetic.BROOKITE, noise=0.3, error=0.1)
    once, again = (laue_evidence(hkl=hkl, intensity=intensity, sigma=sigma, system="orthorhombic") for _ in range(2))
    assert once == again
