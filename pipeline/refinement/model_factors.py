"""Structure factors of a parametrised structure, with their exact derivatives by the free numbers."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike

from pipeline.refinement.constraints import TENSOR_INDICES
from pipeline.refinement.parameters import SLOTS, Complexes, Parametrisation, slots_of
from twin.physics.lattice import Floats, reciprocal_matrix
from twin.physics.structure_factors import electron_factor
from twin.physics.symmetry import centring_vectors, primitive_operations

_WIDTH = len(SLOTS)
_CHUNK = 4_000_000


def _quadratic_forms(scaled: Floats) -> Floats:
    """(n, ops, 6): what multiplies (U11, U22, U33, U12, U13, U23) in hᵀ U* h, for h'_i a*_i (n, ops, 3)."""
    terms = [(1.0 if i == j else 2.0) * scaled[..., i] * scaled[..., j] for i, j in TENSOR_INDICES]
    return np.stack(terms, axis=-1)


def _slot_derivatives(
    parametrisation: Parametrisation, slots: Floats, h: Floats, *, derivatives: bool
) -> tuple[Complexes, Complexes]:
    """F (n,) and ∂F/∂slot (11 · sites, n) without the centring factor, for one chunk of hkl (n, 3)."""
    crystal = parametrisation.crystal
    ops = primitive_operations(crystal.hall)
    b = reciprocal_matrix(crystal.cell)
    g2 = np.sum((h @ b.T) ** 2, axis=1)
    lengths = np.linalg.norm(b, axis=0)
    turned = np.einsum("ni,kij->nkj", h, ops.rotations.astype(np.float64))  # (n, ops, 3)
    shift = np.exp(2j * math.pi * (h @ ops.translations.T))  # (n, ops)
    quadratic = _quadratic_forms(turned * lengths) if any(parametrisation.anisotropic) else np.zeros((0,))
    total = np.zeros(len(h), dtype=np.complex128)
    jacobian = np.zeros((len(slots) * _WIDTH if derivatives else 0, len(h)), dtype=np.complex128)
    for i, (site, row) in enumerate(zip(crystal.sites, slots, strict=True)):
        factor = electron_factor(site.element, 0.25 * g2) / parametrisation.stabiliser_orders[i]
        wave = shift * np.exp(2j * math.pi * (turned @ row[:3]))
        if parametrisation.anisotropic[i]:
            wave = wave * np.exp(-2 * math.pi**2 * (quadratic @ row[5:]))
        else:
            factor = factor * np.exp(-2 * math.pi**2 * row[4] * g2)
        bare = factor * wave.sum(axis=1)
        total += row[3] * bare
        if not derivatives:
            continue
        base = i * _WIDTH
        jacobian[base : base + 3] = (2j * math.pi * row[3]) * factor * np.einsum("nk,nkj->jn", wave, turned)
        jacobian[base + 3] = bare
        if parametrisation.anisotropic[i]:
            jacobian[base + 5 : base + 11] = (
                -2 * math.pi**2 * row[3] * factor * np.einsum("nk,nkj->jn", wave, quadratic)
            )
        else:
            jacobian[base + 4] = -2 * math.pi**2 * g2 * row[3] * bare
    return total, jacobian


def structure_factors_with_derivatives(
    parametrisation: Parametrisation, *, values: ArrayLike, hkl: ArrayLike, derivatives: bool = True
) -> tuple[Complexes, Complexes]:
    """F(h) (n,) in Å and ∂F/∂p (P, n) for hkl (n, 3); an empty (0, n) array without ``derivatives``."""
    h = np.asarray(hkl, dtype=np.float64).reshape(-1, 3)
    slots = slots_of(parametrisation, values)
    centring = np.exp(2j * math.pi * (h @ centring_vectors(parametrisation.crystal.hall).T)).sum(axis=1).real
    step = max(16, _CHUNK // (len(primitive_operations(parametrisation.crystal.hall)) * 8))
    factors, jacobians = [np.zeros(0, complex)], [np.zeros((len(parametrisation) if derivatives else 0, 0), complex)]
    for begin in range(0, len(h), step):
        part = slice(begin, begin + step)
        f, slot_jacobian = _slot_derivatives(parametrisation, slots, h[part], derivatives=derivatives)
        factors.append(f * centring[part])
        rows = parametrisation.matrix.T @ slot_jacobian if derivatives else np.zeros((0, len(f)))
        jacobians.append(rows * centring[part])
    return np.concatenate(factors), np.concatenate(jacobians, axis=1)
