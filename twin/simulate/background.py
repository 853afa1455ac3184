"""Everything on the detector that is not a spot: the membrane's rings and thermal diffuse scattering."""

from __future__ import annotations

import numpy as np

from twin.model.crystal import Crystal
from twin.model.instrument import Microscope
from twin.model.specimen import Membrane
from twin.physics.electrons import wavenumber_per_angstrom
from twin.physics.lattice import Floats
from twin.physics.projection import g_from_pixels
from twin.physics.structure_factors import electron_factor, expand_to_p1
from twin.simulate.illumination import disc_radius_per_angstrom, pixel_per_angstrom
from twin.specimen.membrane import (
    inelastic_profile,
    scattered_fraction_density,
    scattered_mean,
    transmitted_fraction,
)

_Q = np.concatenate([np.linspace(0.0, 0.1, 401)[:-1], np.linspace(0.1, 6.0, 1476)])


def diffuse_image(
    *,
    microscope: Microscope,
    centre_px: tuple[float, float],
    membrane: Membrane,
    membrane_electrons: float,
    crystal: Crystal,
    thermal_electrons: float,
    loss_electrons: float,
) -> Floats:
    """Electrons per pixel (slow, fast) that the membrane and the crystal's vibrations scatter.

    membrane_electrons: that reach the membrane; thermal_electrons: that thermal diffuse scattering took from the
    beams; loss_electrons: of the direct beam that lose energy in the membrane.
    """
    energy = microscope.beam.energy_kev
    profile = thermal_electrons * thermal_profile(crystal)
    mean = scattered_mean(membrane=membrane, energy_kev=energy)
    if mean > 0.0:
        once = scattered_fraction_density(membrane=membrane, q_per_angstrom=_Q, energy_kev=energy)
        scattered = 1.0 - transmitted_fraction(membrane=membrane, energy_kev=energy)
        profile = profile + membrane_electrons * scattered / mean * once
    if loss_electrons > 0.0:
        blur = 0.5 * pixel_per_angstrom(microscope) + disc_radius_per_angstrom(microscope.beam)
        spread = inelastic_profile(membrane=membrane, q_per_angstrom=_Q, energy_kev=energy, blur_per_angstrom=blur)
        profile = profile + loss_electrons * spread
    q, area = _pixel_grid(microscope, centre_px)
    return np.asarray(np.interp(q, _Q, profile, right=0.0) * area)


def thermal_profile(crystal: Crystal) -> Floats:
    """Σ o f² (1 − T²) of independently vibrating atoms on ``_Q``, normalised to 1 over the plane up to 4 Å⁻¹.

    The Gaussians of the scattering factors hold to there; the absorptive potential is cut in the same way.
    """
    atoms = expand_to_p1(crystal)
    total = np.zeros_like(_Q)
    for index, site in enumerate(crystal.sites):
        factor = electron_factor(site.element, 0.25 * _Q**2)
        loss = 1.0 - np.exp(-4.0 * np.pi**2 * site.u_iso_angstrom2 * _Q**2)
        total += float(np.sum(atoms.occupancy[atoms.site == index])) * factor**2 * loss
    total[_Q > 4.0] = 0.0
    whole = float(np.trapezoid(total * 2 * np.pi * _Q, _Q))
    return total / whole if whole > 0.0 else total


def _pixel_grid(microscope: Microscope, centre_px: tuple[float, float]) -> tuple[Floats, Floats]:
    """|g| of each pixel and its area in Å⁻² (a flat detector: cos⁴ of the scattering angle)."""
    detector = microscope.detector
    fast, slow = np.arange(detector.fast_px, dtype=np.float64), np.arange(detector.slow_px, dtype=np.float64)
    pixels = np.stack(np.broadcast_arrays(fast[None, :], slow[:, None]), axis=-1)
    g2 = np.sum(g_from_pixels(pixels=pixels, microscope=microscope, centre_px=centre_px) ** 2, axis=-1)
    k = wavenumber_per_angstrom(energy_kev=microscope.beam.energy_kev)
    return np.sqrt(g2), pixel_per_angstrom(microscope) ** 2 * (1.0 - g2 / k**2) ** 2
