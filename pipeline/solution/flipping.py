"""Charge flipping in P1, several starts in one batch.

Oszlányi & Sütő, Acta Cryst. A60 (2004) 134; normalised amplitudes: Acta Cryst. A64 (2008) 123; low-density elimination:
Shiono & Woolfson, Acta Cryst. A48 (1992) 451.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.fft
from numpy.typing import NDArray

from pipeline.solution.options import FlipOptions
from twin.physics.lattice import Floats, Ints

Complexes = NDArray[np.complex128]
_TINY, _ANY = np.float32(1e-20), np.float32(1e30)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Grid:
    """Where half a sphere of reflections sits in the array of a real FFT.

    shape: voxels. index (n,): flat position in the (u, v, w//2+1) array; conjugate (n,): True where the entry holds
    the Friedel mate. twin (m,), twin_of (m,): entries of the w = 0 (and Nyquist) planes that repeat reflection
    ``twin_of`` as its mate.
    """

    shape: tuple[int, int, int]
    index: Ints
    conjugate: NDArray[np.bool_]
    twin: Ints
    twin_of: Ints
    twin_conjugate: NDArray[np.bool_]

    @property
    def half(self) -> tuple[int, int, int]:
        return (self.shape[0], self.shape[1], self.shape[2] // 2 + 1)


def make_grid(hkl: Ints, *, oversampling: float = 1.0) -> Grid:
    """Smallest fast grid with at least 2 h_max + 1 (times ``oversampling``) voxels along each axis."""
    top = np.abs(hkl).max(axis=0)
    need = np.ceil((2 * top + 1) * oversampling).astype(int)
    shape = tuple(int(scipy.fft.next_fast_len(int(n), real=True)) for n in need)
    flip = hkl[:, 2] < 0
    stored = np.where(flip[:, None], -hkl, hkl)
    dims = (shape[0], shape[1], shape[2] // 2 + 1)
    index = np.ravel_multi_index((stored[:, 0] % shape[0], stored[:, 1] % shape[1], stored[:, 2]), dims)
    flat = np.flatnonzero(stored[:, 2] == 0)
    mates = -stored[flat]
    twin = np.ravel_multi_index((mates[:, 0] % shape[0], mates[:, 1] % shape[1], mates[:, 2]), dims)
    return Grid(shape=(shape[0], shape[1], shape[2]), index=index, conjugate=flip, twin=twin, twin_of=flat,
                twin_conjugate=~flip[flat])  # fmt: skip


def density(grid: Grid, f: Complexes, *, f000: float = 0.0) -> Floats:
    """ρ(x) = Σ F exp(−2πi h·x) on the grid (scale: no volume); f (n,) of the half-sphere -> shape of the grid."""
    array = np.zeros(int(np.prod(grid.half)), dtype=np.complex128)
    # a forward-sign transform of F equals the inverse transform of conj(F)
    array[grid.index] = np.where(grid.conjugate, f, np.conj(f))
    array[grid.twin] = np.where(grid.twin_conjugate, f[grid.twin_of], np.conj(f[grid.twin_of]))
    array[0] = f000
    size = float(np.prod(grid.shape))
    return np.asarray(scipy.fft.irfftn(array.reshape(grid.half), s=grid.shape, workers=1) * size)


def coefficients(grid: Grid, rho: Floats) -> Complexes:
    """F of the half-sphere from a density: inverse of :func:`density`."""
    array = scipy.fft.rfftn(rho, workers=1).reshape(-1)[grid.index] / float(np.prod(grid.shape))
    return np.asarray(np.where(grid.conjugate, array, np.conj(array)))


def eliminate(rho: NDArray[np.float32]) -> NDArray[np.float32]:
    """Damp density below about a fifth of a peak's; negative density vanishes."""
    strong = np.partition(rho.reshape(len(rho), -1), -max(8, rho[0].size // 400), axis=1)
    typical = strong[:, -max(8, rho[0].size // 400) :].mean(axis=1).reshape(-1, 1, 1, 1)
    ratio = rho / (0.2 * np.maximum(typical, 1e-30))
    return np.asarray(np.where(rho > 0, rho * -np.expm1(-0.5 * ratio**2), 0.0), dtype=np.float32)


def _spread(grid: Grid, of_entry: NDArray[Any], of_twin: NDArray[Any]) -> NDArray[Any]:
    """Values of the reflections (n,) in the array of a real FFT; ``of_twin`` (n,) for the entries of their mates."""
    array = np.zeros(int(np.prod(grid.half)), dtype=of_entry.dtype)
    array[grid.index] = of_entry
    array[grid.twin] = of_twin[grid.twin_of]
    return array


class _Constraints:
    """What the data say of the transform of a density: measured amplitudes, unmeasured ones bounded, F(000) free.

    most (n,): amplitude that an unmeasured reflection may take, infinite or zero too. weak (n,): reflections whose
    amplitude is left as the density has it and whose phase is turned by π/2.
    """

    def __init__(
        self, grid: Grid, *, amplitude: Floats, measured: NDArray[np.bool_], weak: NDArray[np.bool_], most: Floats
    ) -> None:
        def real(values: NDArray[Any]) -> NDArray[np.float32]:
            single = values.astype(np.float32)
            return _spread(grid, single, single).reshape(grid.half)

        self._free, self._most = real(~measured), real(np.where(measured, 0.0, np.minimum(most, _ANY)))
        self._free[0, 0, 0], self._most[0, 0, 0] = 1.0, _ANY
        self._all = real(np.where(measured, amplitude, 0.0))
        self._strong = real(np.where(measured & ~weak, amplitude, 0.0))
        quarter = np.where(weak, 1j, 0.0).astype(np.complex64)
        mates = np.ones(len(amplitude), dtype=np.complex64)
        mates[grid.twin_of] = np.where(grid.twin_conjugate, -1.0, 1.0)
        self._turn = _spread(grid, np.where(grid.conjugate, -quarter, quarter), quarter * mates).reshape(grid.half)

    def impose(self, g: NDArray[np.complex64], *, turn: bool) -> NDArray[np.complex64]:
        """g with the amplitudes of the data; ``turn``: but for the weak reflections, which are turned."""
        size = np.maximum(np.abs(g), _TINY)
        loose = np.minimum(self._free, self._most / size)
        return np.asarray(g * (self._strong / size + loose + self._turn if turn else self._all / size + loose))


def flip_charges(
    *, hkl: Ints, e: Floats, level: Floats, measured: NDArray[np.bool_], starts: int, generator: np.random.Generator,
    options: FlipOptions, cycles: int,
) -> tuple[Complexes, Floats]:  # fmt: skip
    """Phased normalised structure factors of every start and the residual of each.

    F(000) floats, unmeasured reflections as ``options`` say: left alone, a few missing orders of an axis grow into a
    density of layers that nothing opposes, so that they are bounded unless another treatment is asked for. The weak
    reflections keep the amplitude that the density gives them and have their phase turned by π/2: it disturbs more, and
    starts no longer end in one huge peak.

    hkl (n, 3): half-sphere in the indices of the (primitive) lattice; e, level, measured (n,): |E|, |F| of a reflection
    with |E| 1 on any scale, whether it was measured. Returns E (starts, n) and the residual Σ||G| − A| / Σ A over
    measured reflections after low-density elimination (starts,), lower is better, with A = E or F as was asked.
    """
    grid = make_grid(hkl)
    unit = np.ones(len(e)) if options.normalise == "E" else level
    amplitude = e * unit
    weak = measured & (amplitude < np.quantile(amplitude[measured], options.weak_share))
    data = _Constraints(grid, amplitude=amplitude, measured=measured, weak=weak, most=_most(options) * unit)
    axes = (1, 2, 3)

    def density_of(g: NDArray[np.complex64]) -> NDArray[np.float32]:
        return np.asarray(scipy.fft.irfftn(g, s=grid.shape, axes=axes, workers=1))

    def transform(density_: NDArray[np.float32]) -> NDArray[np.complex64]:
        # irfftn divides by the number of voxels: multiply the amplitudes' scale back
        return np.asarray(scipy.fft.rfftn(density_, axes=axes, workers=1))

    rho = generator.standard_normal((starts, *grid.shape), dtype=np.float32)
    rho = density_of(data.impose(transform(rho), turn=True))
    for _ in range(cycles):
        threshold = np.float32(options.threshold) * rho.std(axis=axes, keepdims=True)
        np.copysign(rho, np.where(rho < threshold, -rho, rho), out=rho)
        rho = density_of(data.impose(transform(rho), turn=True))
    for _ in range(options.polish):
        g = transform(eliminate(rho))
        rho = density_of(data.impose(g, turn=False))
    found = g.reshape(starts, -1)[:, grid.index]
    phased = np.where(grid.conjugate, found, np.conj(found)).astype(np.complex128)
    size = np.abs(phased[:, measured])
    known = amplitude[measured]
    factor = np.sum(size * known, axis=1) / np.maximum(np.sum(size**2, axis=1), 1e-30)
    residual = np.sum(np.abs(factor[:, None] * size - known), axis=1) / max(float(known.sum()), 1e-30)
    direction = phased / np.maximum(np.abs(phased), 1e-20)
    guessed = 0.0 if options.missing == "zero" else factor[:, None] * phased / unit
    return np.where(measured, np.where(measured, e, 0.0) * direction, guessed), residual


def _most(options: FlipOptions) -> float:
    """|E| that an unmeasured reflection may take."""
    return {"bound": options.bound_e, "float": float(_ANY), "zero": 0.0}[options.missing]
