"""Crystals that the physics tests share."""

from __future__ import annotations

import pytest

from twin.model.crystal import Cell, Crystal, Site


@pytest.fixture(scope="session")
def in2o3() -> Crystal:
    """Centrosymmetric, body-centred, large cell (Ia-3; Marezio 1966)."""
    return Crystal(
        name="In2O3",
        cell=Cell(a_angstrom=10.117, b_angstrom=10.117, c_angstrom=10.117),
        hall="-I 2b 2c 3",
        sites=(
            Site(label="In1", element="In", fract=(0.25, 0.25, 0.25), u_iso_angstrom2=0.004),
            Site(label="In2", element="In", fract=(0.4663, 0.0, 0.25), u_iso_angstrom2=0.004),
            Site(label="O1", element="O", fract=(0.3912, 0.1558, 0.3796), u_iso_angstrom2=0.006),
        ),
    )


@pytest.fixture(scope="session")
def quartz() -> Crystal:
    """Non-centrosymmetric α-quartz, P3221 with right-handed axes (Levien, Prewitt & Weidner 1980)."""
    return Crystal(
        name="quartz",
        cell=Cell(a_angstrom=4.916, b_angstrom=4.916, c_angstrom=5.4054, gamma_deg=120.0),
        hall='P 32 2"',
        sites=(
            Site(label="Si1", element="Si", fract=(0.4697, 0.0, 2.0 / 3.0), u_iso_angstrom2=0.006),
            Site(label="O1", element="O", fract=(0.4135, 0.2669, 0.7858), u_iso_angstrom2=0.010),
        ),
    )
