"""Multislice on atoms: the engine that shares no approximation of a lattice with the Bloch waves.

One slice multiplies the wave by exp(i φ(x, y)) and propagates it by Δz (Cowley & Moodie, Acta Cryst. 10 (1957) 609;
Kirkland, Advanced Computing in Electron Microscopy (2010), chapter 6). With U = γ f / (πΩ) and dψ/dz = (iπ/K) U ψ the
phase of a slice is φ(q) = γ λ f(q) Σ_j o_j exp(−2πi q·r_j) per unit area, and free flight multiplies by
exp(2πi s_q Δz) with the excitation error of the reflection at q: the same signs as in `propagation`.

The wave is kept as an envelope on the tilted plane wave, so its Fourier coefficients sit at g_xy for every tilt: a
precession pattern is the plain sum of the intensities (a perfect descan). Atoms are spread on the grid with an
exponential-of-semicircle kernel whose transform is divided out again (Barnett, Magland & af Klinteberg, SIAM J. Sci.
Comput. 41 (2019) C479), so positions are exact to about 1e-4 of the potential, not to a pixel.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numba import njit
from numpy.typing import ArrayLike, NDArray
from scipy import fft

from twin.physics.electrons import relativistic_gamma, wavelength_angstrom
from twin.physics.lattice import Floats, Ints
from twin.physics.structure_factors import electron_factor

Singles = NDArray[np.float32]
Waves = NDArray[np.complex64]

_SUPPORT = 6  # grid points under the spreading kernel, a direction
_BETA = 0.97 * math.pi * _SUPPORT * (1.0 - 1.0 / 3.0)  # for the band of two thirds of Nyquist that is kept


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class AtomCloud:
    """Atoms in the laboratory: ``position_angstrom`` (n, 3), ``element`` (n,) index into ``elements``, weight (n,).

    ``u_iso_angstrom2`` (one for each element) damps the factors; zero for frozen phonons, whose displacements are in
    the positions.
    """

    position_angstrom: Floats
    element: Ints
    weight: Floats
    elements: tuple[str, ...]
    u_iso_angstrom2: tuple[float, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Grid:
    """Periodic square field of view.

    wave_limit_per_angstrom: a narrower band for the waves than for the potential, to compare with a set of beams.
    """

    points: int
    extent_angstrom: float
    wave_limit_per_angstrom: float = math.inf

    @property
    def band_per_angstrom(self) -> float:
        """Largest |q| that is kept: two thirds of Nyquist, so that products of two fields do not fold back."""
        return self.points / (3.0 * self.extent_angstrom)

    @property
    def wave_band_per_angstrom(self) -> float:
        """Largest |q| of the waves."""
        return min(self.band_per_angstrom, self.wave_limit_per_angstrom)


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """What a run will cost, told before it starts."""

    slices: int
    memory_bytes: int
    transforms: int

    def sentence(self, *, seconds_per_transform: float) -> str:
        time_s = self.transforms * seconds_per_transform
        return f"{self.slices} slices, about {self.memory_bytes / 2**20:.0f} MiB and {time_s:.1f} s"


def estimate(*, atoms: AtomCloud, grid: Grid, slice_angstrom: float, waves: int) -> Estimate:
    """Slices, memory of the fields, and number of two-dimensional transforms of a run."""
    slices = len(_slice_edges(atoms, slice_angstrom)) - 1
    field = grid.points**2
    memory = field * (8 * (2 * waves + 3) + 4 * (len(atoms.elements) + 2)) + 40 * len(atoms.element)
    return Estimate(slices=slices, memory_bytes=memory, transforms=slices * (2 * waves + 1 + len(atoms.elements) // 2))


@njit(cache=True, fastmath=True)
def _spread(grid: Singles, x: Floats, y: Floats, weight: Floats) -> None:
    """Add each atom's kernel to the periodic ``grid`` [y, x]; x and y in grid points."""
    n = grid.shape[0]
    half = 0.5 * _SUPPORT
    wx = np.empty(_SUPPORT)
    wy = np.empty(_SUPPORT)
    for a in range(len(x)):
        first_x = math.ceil(x[a] - half)
        first_y = math.ceil(y[a] - half)
        for k in range(_SUPPORT):
            ux = (first_x + k - x[a]) / half
            uy = (first_y + k - y[a]) / half
            wx[k] = math.exp(_BETA * (math.sqrt(max(0.0, 1.0 - ux * ux)) - 1.0))
            wy[k] = math.exp(_BETA * (math.sqrt(max(0.0, 1.0 - uy * uy)) - 1.0))
        for i in range(_SUPPORT):
            row = (first_y + i) % n
            w = weight[a] * wy[i]
            for k in range(_SUPPORT):
                grid[row, (first_x + k) % n] += np.float32(w * wx[k])


@njit(cache=True, fastmath=True)
def _transmit(waves: Waves, phase: Singles) -> None:
    """waves *= exp(i phase), all waves of the batch."""
    for i in range(phase.shape[0]):
        for j in range(phase.shape[1]):
            t = complex(math.cos(phase[i, j]), math.sin(phase[i, j]))
            for b in range(waves.shape[0]):
                waves[b, i, j] *= t


def _kernel_transform(frequency: NDArray[np.floating]) -> Floats:
    """Fourier transform of the one-dimensional spreading kernel at ``frequency`` in cycles a grid point."""
    nodes, weights = np.polynomial.legendre.leggauss(64)
    kernel = np.exp(_BETA * (np.sqrt(1.0 - nodes**2) - 1.0)) * weights * 0.5 * _SUPPORT
    return np.asarray(np.cos(np.pi * _SUPPORT * np.multiply.outer(frequency, nodes)) @ kernel)


def _slice_edges(atoms: AtomCloud, slice_angstrom: float) -> Floats:
    z = atoms.position_angstrom[:, 2]
    count = max(1, math.ceil((z.max() - z.min() + 1e-9) / slice_angstrom))
    return np.asarray(z.min() - 1e-9 + slice_angstrom * np.arange(count + 1))


def _factor_fields(atoms: AtomCloud, grid: Grid, energy_kev: float) -> Singles:
    """γ λ f(q) T(q) / (area · kernel²) on the half plane of rfft2, band-limited; (elements, n, n // 2 + 1)."""
    n, step = grid.points, grid.extent_angstrom / grid.points
    fy, fx = np.fft.fftfreq(n), np.fft.rfftfreq(n)
    q2 = (fx[None, :] ** 2 + fy[:, None] ** 2) / step**2
    kernel = _kernel_transform(fy)[:, None] * _kernel_transform(fx)[None, :]
    scale = relativistic_gamma(energy_kev=energy_kev) * wavelength_angstrom(energy_kev=energy_kev) / step**2
    band = q2 <= grid.band_per_angstrom**2
    fields = np.zeros((len(atoms.elements), *q2.shape), dtype=np.float32)
    for index, (element, u) in enumerate(zip(atoms.elements, atoms.u_iso_angstrom2, strict=True)):
        factor = electron_factor(element, q2[band] / 4) * np.exp(-2 * math.pi**2 * u * q2[band])
        fields[index][band] = scale * factor / kernel[band]
    return fields


def phase_slices(
    *, atoms: AtomCloud, grid: Grid, energy_kev: float, slice_angstrom: float, workers: int = 1
) -> Iterator[Singles]:
    """Phase φ(x, y) in radians of one slice after the other, entrance side (small z) first; (n, n) each."""
    n, step = grid.points, grid.extent_angstrom / grid.points
    fields = _factor_fields(atoms, grid, energy_kev)
    edges = _slice_edges(atoms, slice_angstrom)
    order = np.lexsort((atoms.element, np.searchsorted(edges, atoms.position_angstrom[:, 2]) - 1))
    x, y, z = (np.ascontiguousarray(atoms.position_angstrom[order, i]) for i in range(3))
    element, weight = atoms.element[order], atoms.weight[order]
    member = np.searchsorted(edges, z) - 1
    for index in range(len(edges) - 1):
        begin, end = np.searchsorted(member, [index, index + 1])
        total = np.zeros((n, n // 2 + 1), dtype=np.complex64)
        for kind in range(len(atoms.elements)):
            first, last = begin + np.searchsorted(element[begin:end], [kind, kind + 1])
            if last == first:
                continue
            spread = np.zeros((n, n), dtype=np.float32)
            _spread(spread, x[first:last] / step, y[first:last] / step, weight[first:last])
            total += fields[kind] * fft.rfft2(spread, workers=workers)
        yield fft.irfft2(total, s=(n, n), workers=workers)


def exit_waves(
    *,
    phases: Iterator[Singles],
    incident: Waves,
    grid: Grid,
    energy_kev: float,
    slice_angstrom: float,
    directions: ArrayLike,
    workers: int = 1,
    on_slice: Callable[[int], None] | None = None,
) -> Waves:
    """Fourier coefficients of the waves behind the object, (waves, n, n) in numpy's fft order, mean |ψ|² conserved.

    incident: (waves, n, n) complex64 in real space (overwritten); directions: (waves, 3) unit vectors of K.
    ``on_slice`` is told the number of each slice that is done.
    """
    free = free_flight(grid=grid, energy_kev=energy_kev, directions=directions, length_angstrom=slice_angstrom)
    waves = incident
    spectrum = waves
    for number, phase in enumerate(phases):
        if number:
            waves = fft.ifft2(spectrum, axes=(1, 2), workers=workers, overwrite_x=True)
        _transmit(waves, phase)
        spectrum = fft.fft2(waves, axes=(1, 2), workers=workers, overwrite_x=True)
        spectrum *= free
        if on_slice is not None:
            on_slice(number)
    spectrum *= np.float32(1.0 / grid.points**2)
    return spectrum


def free_flight(*, grid: Grid, energy_kev: float, directions: ArrayLike, length_angstrom: float) -> Waves:
    """exp(2πi s_q Δz) inside the band, 0 outside, for tilts (waves, 3); (waves, n, n) in fft order.

    Exact: the wave stays on the sphere, K_z(q) = √(k² − (K_xy + q)²).
    """
    n = grid.points
    q = np.fft.fftfreq(n, d=grid.extent_angstrom / n)
    qx, qy = q[None, :], q[:, None]
    k = 1.0 / wavelength_angstrom(energy_kev=energy_kev)
    band = qx**2 + qy**2 <= grid.wave_band_per_angstrom**2
    tilts = np.atleast_2d(np.asarray(directions, dtype=np.float64))
    free = np.empty((len(tilts), n, n), dtype=np.complex64)
    for index, direction in enumerate(tilts):
        lateral = (k * direction[0] + qx) ** 2 + (k * direction[1] + qy) ** 2
        flight = np.sqrt(np.maximum(k**2 - lateral, 0.0)) - k * direction[2]
        free[index] = np.where(band, np.exp(2j * math.pi * length_angstrom * flight), 0.0)
    return free


def plane_wave(*, grid: Grid, waves: int) -> Waves:
    """Envelopes of plane waves: ones, (waves, n, n)."""
    return np.ones((waves, grid.points, grid.points), dtype=np.complex64)
