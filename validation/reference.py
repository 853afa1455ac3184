"""Crystals and a microscope that studies and tests share, so that each is written once.

Coordinates: In2O3 Marezio, Acta Cryst. 20 (1966) 723 (COD 2310009); brookite Meagher & Lager, Can. Mineral. 17 (1979)
77; anatase Horn, Schwerdtfeger & Meagher, Z. Kristallogr. 136 (1972) 273; α-quartz (P3₂21) Levien, Prewitt & Weidner,
Am. Mineral. 65 (1980) 920; rutile and all displacements are rounded, for room temperature.
"""

from __future__ import annotations

from dataclasses import replace

from twin.model.crystal import Cell, Crystal, Site
from twin.model.instrument import Beam, Detector, Microscope, Projection
from twin.physics.electrons import wavenumber_per_angstrom

IN2O3 = Crystal(
    name="In2O3",
    cell=Cell(a_angstrom=10.117, b_angstrom=10.117, c_angstrom=10.117),
    hall="-I 2b 2c 3",
    sites=(
        Site(label="In1", element="In", fract=(0.25, 0.25, 0.25), u_iso_angstrom2=0.004),
        Site(label="In2", element="In", fract=(0.4663, 0.0, 0.25), u_iso_angstrom2=0.004),
        Site(label="O1", element="O", fract=(0.3912, 0.1558, 0.3796), u_iso_angstrom2=0.006),
    ),
)
ITO = replace(IN2O3, name="ito", cell=Cell(a_angstrom=10.1269, b_angstrom=10.1269, c_angstrom=10.1269))
BROOKITE = Crystal(
    name="brookite",
    cell=Cell(a_angstrom=9.174, b_angstrom=5.449, c_angstrom=5.138),
    hall="-P 2ac 2ab",
    sites=(
        Site(label="Ti1", element="Ti", fract=(0.1289, 0.0972, 0.8628), u_iso_angstrom2=0.0045),
        Site(label="O1", element="O", fract=(0.0095, 0.1491, 0.1835), u_iso_angstrom2=0.006),
        Site(label="O2", element="O", fract=(0.2314, 0.1110, 0.5366), u_iso_angstrom2=0.006),
    ),
)
ANATASE = Crystal(
    name="anatase",
    cell=Cell(a_angstrom=3.7842, b_angstrom=3.7842, c_angstrom=9.5146),
    hall="-I 4bd 2",
    sites=(
        Site(label="Ti1", element="Ti", fract=(0.0, 0.75, 0.125), u_iso_angstrom2=0.005),
        Site(label="O1", element="O", fract=(0.0, 0.75, 0.3331), u_iso_angstrom2=0.005),
    ),
)
RUTILE = Crystal(
    name="rutile",
    cell=Cell(a_angstrom=4.594, b_angstrom=4.594, c_angstrom=2.959),
    hall="-P 4n 2n",
    sites=(
        Site(label="Ti1", element="Ti", fract=(0.0, 0.0, 0.0), u_iso_angstrom2=0.005),
        Site(label="O1", element="O", fract=(0.3053, 0.3053, 0.0), u_iso_angstrom2=0.006),
    ),
)
QUARTZ = Crystal(
    name="quartz",
    cell=Cell(a_angstrom=4.916, b_angstrom=4.916, c_angstrom=5.4054, gamma_deg=120.0),
    hall='P 32 2"',
    sites=(
        Site(label="Si1", element="Si", fract=(0.4697, 0.0, 2.0 / 3.0), u_iso_angstrom2=0.006),
        Site(label="O1", element="O", fract=(0.4135, 0.2669, 0.7858), u_iso_angstrom2=0.010),
    ),
)


def with_displacement(crystal: Crystal, u_iso_angstrom2: float) -> Crystal:
    """The crystal with one isotropic displacement for all sites."""
    sites = tuple(replace(s, u_iso_angstrom2=u_iso_angstrom2, u_aniso_angstrom2=None) for s in crystal.sites)
    return replace(crystal, sites=sites)


def microscope(
    *,
    size_px: int = 512,
    per_px: float = 0.008,
    tilt_axis_deg: float = 32.0,
    diameter_nm: float = 25.0,
    flux_e_per_angstrom2_s: float = 380.0,
    counts_per_electron: float = 2.5,
) -> Microscope:
    """200 kV, a square detector of 55 µm pixels, ``per_px`` Å⁻¹ wide, the beam at size_px / 2."""
    k = wavenumber_per_angstrom(energy_kev=200.0)
    return Microscope(
        name="test",
        beam=Beam(energy_kev=200.0, diameter_nm=diameter_nm, flux_e_per_angstrom2_s=flux_e_per_angstrom2_s),
        detector=Detector(
            name="test", fast_px=size_px, slow_px=size_px, pixel_size_um=55.0, counts_per_electron=counts_per_electron
        ),
        projection=Projection(
            camera_length_mm=0.055 * k / per_px,
            centre_fast_px=size_px / 2,
            centre_slow_px=size_px / 2,
            tilt_axis_deg=tilt_axis_deg,
        ),
    )
