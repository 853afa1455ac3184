"""The same amplitudes by one eigendecomposition an orientation: for few directions of few beams, or very thick slabs.

With S = √W U √W + D = C γ C† (symmetric form of the operator of :mod:`twin.physics.slab`), ψ(t) = C e^{iτγ} C† e_0
(Humphreys, Rep. Prog. Phys. 42 (1979) 1825). The cost does not depend on the thickness, but each orientation has its
own.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from twin.physics.lattice import Floats
from twin.physics.slab import Slab

Array = NDArray[Any]


def absorbs(slab: Slab) -> bool:
    """Whether the operator is not Hermitian: its eigenvectors are then not orthogonal."""
    spectrum = slab.spectra[0]
    return spectrum.imaginary_low != 0.0 or spectrum.imaginary_high != 0.0


def decomposition_is_cheaper(slab: Slab, *, thickness_angstrom: Floats) -> bool:
    """Whether eigenvectors take less time than the recurrence.

    Seconds as measured on one core (`edtwin validate engines`, "Other methods"): a decomposition 40 µs + 60 ns n² +
    0.1 ns n³; a recurrence 0.2 ms, and 2 n² operations a term at 2e10 a second for one direction, 6e10 for many.
    """
    if absorbs(slab):
        return False
    spectrum = slab.spectra[0]
    n, s = slab.diagonal.shape
    beams = n if slab.active is None else np.count_nonzero(slab.active) / max(s, 1)
    phase = spectrum.radius * slab.unit * float(np.abs(thickness_angstrom).max(initial=0.0))
    terms = phase + 6.0 * (phase + 1.0) ** (1.0 / 3.0)
    complex_work = 4.0 if np.iscomplexobj(slab.matrix) else 1.0
    rate = 2e10 if s < 4 else 6e10
    recurrence = 2e-4 + complex_work * s * 2.0 * terms * beams * (beams + thickness_angstrom.size) / rate
    each = 4e-5 + 6e-8 * beams**2 + 1e-10 * beams**3 + 2e-10 * thickness_angstrom.size * beams**2
    return bool(complex_work * s * each < recurrence)


def decomposed(
    *, slab: Slab, thickness_angstrom: Floats, rows: NDArray[np.int64] | None, dtype: np.dtype[Any]
) -> Array:
    """Amplitudes ψ (J, M, S) of the beams ``rows`` (all when None), of the complex type ``dtype``; worked in 64 bit."""
    if absorbs(slab):
        raise ValueError("eigenvectors need a potential without absorption; the recurrence takes it")
    n, s = slab.diagonal.shape
    index = np.arange(n) if rows is None else rows
    result = np.zeros((thickness_angstrom.size, index.size, s), dtype=dtype)
    everything = np.arange(n)
    for j in range(s):
        on = everything if slab.active is None else np.flatnonzero(slab.active[:, j])
        matrix = slab.matrix[np.ix_(on, on)].astype(np.result_type(slab.matrix.dtype, np.float64))
        if slab.weight is not None:
            root = np.sqrt(slab.weight[on, j])
            matrix *= np.multiply.outer(root, root)
        matrix[np.arange(on.size), np.arange(on.size)] += slab.diagonal[on, j]
        values, vectors = np.linalg.eigh(matrix)
        phases = np.exp(1j * slab.unit * np.multiply.outer(thickness_angstrom, values)) * vectors[0].conj()
        psi = np.zeros((thickness_angstrom.size, n), dtype=np.complex128)
        psi[:, on] = phases @ vectors.T
        result[:, :, j] = psi[:, index]
    return result
