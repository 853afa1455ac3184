"""Crystals of the series with a known truth."""

from __future__ import annotations

from twin.model.crystal import Cell, Crystal, Site

IN2O3 = Crystal(
    name="In2O3",
    cell=Cell(a_angstrom=10.117, b_angstrom=10.117, c_angstrom=10.117),
    hall="-I 2b 2c 3",
    sites=(
        Site(label="In1", element="In", fract=(0.25, 0.25, 0.25), u_iso_angstrom2=0.005),
        Site(label="In2", element="In", fract=(0.4666, 0.0, 0.25), u_iso_angstrom2=0.005),
        Site(label="O1", element="O", fract=(0.3902, 0.1544, 0.3822), u_iso_angstrom2=0.007),
    ),
)
BROOKITE = Crystal(
    name="brookite",
    cell=Cell(a_angstrom=9.174, b_angstrom=5.449, c_angstrom=5.138),
    hall="-P 2ac 2ab",
    sites=(
        Site(label="Ti1", element="Ti", fract=(0.1289, 0.0972, 0.8628), u_iso_angstrom2=0.005),
        Site(label="O1", element="O", fract=(0.0095, 0.1491, 0.1835), u_iso_angstrom2=0.006),
        Site(label="O2", element="O", fract=(0.2314, 0.1110, 0.5366), u_iso_angstrom2=0.006),
    ),
)
CRYSTALS = {crystal.name: crystal for crystal in (IN2O3, BROOKITE)}
