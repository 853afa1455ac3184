"""Crystals that the solution study tries, with the sources of their coordinates."""

from __future__ import annotations

from dataclasses import dataclass

from twin.model.crystal import Cell, Crystal, Site

U_ISO_ANGSTROM2 = 0.0065
Sites = tuple[tuple[str, str, tuple[float, float, float], float], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Material:
    """A crystal, its formula, and where its coordinates come from."""

    crystal: Crystal
    formula: str
    source: str
    hydrogen: bool = False


def _material(
    name: str, hall: str, cell: tuple[float, float, float, float, float, float], sites: Sites, *, formula: str,
    source: str,
) -> Material:  # fmt: skip
    a, b, c, alpha, beta, gamma = cell
    crystal = Crystal(
        name=name, hall=hall,
        cell=Cell(a_angstrom=a, b_angstrom=b, c_angstrom=c, alpha_deg=alpha, beta_deg=beta, gamma_deg=gamma),
        sites=tuple(Site(label=label, element=element, fract=fract, occupancy=share, u_iso_angstrom2=U_ISO_ANGSTROM2)
                    for label, element, fract, share in sites),
    )  # fmt: skip
    return Material(crystal=crystal, formula=formula, source=source)


STUDY: dict[str, Material] = {
    "brookite": _material(
        "brookite", "-P 2ac 2ab", (9.174, 5.449, 5.138, 90, 90, 90),
        (("Ti1", "Ti", (0.1289, 0.0972, 0.8628), 1.0), ("O1", "O", (0.0095, 0.1491, 0.1835), 1.0),
         ("O2", "O", (0.2314, 0.1110, 0.5366), 1.0)),
        formula="TiO2", source="Meagher & Lager, Can. Mineral. 17 (1979) 77",
    ),
    "anatase": _material(
        "anatase", "-I 4bd 2", (3.7842, 3.7842, 9.5146, 90, 90, 90),
        (("Ti1", "Ti", (0, 0.75, 0.125), 1.0), ("O1", "O", (0, 0.75, 0.3331), 1.0)),
        formula="TiO2", source="Horn, Schwerdtfeger & Meagher, Z. Kristallogr. 136 (1972) 273",
    ),
    "in2o3": _material(
        "in2o3", "-I 2b 2c 3", (10.117, 10.117, 10.117, 90, 90, 90),
        (("In1", "In", (0.25, 0.25, 0.25), 1.0), ("In2", "In", (0.4663, 0.0, 0.25), 1.0),
         ("O1", "O", (0.3912, 0.1558, 0.3796), 1.0)),
        formula="In2O3", source="Marezio, Acta Cryst. 20 (1966) 723",
    ),
    "mgti2o5": _material(
        "mgti2o5", "-B 2 2b", (9.7974, 9.9943, 3.764, 90, 90, 90),
        (("Ti1", "Ti", (0.8104, 0.25, 0), 0.529), ("Mg1", "Mg", (0.8104, 0.25, 0), 0.471),
         ("Ti2", "Ti", (0.1375, 0.43632, 0), 0.735), ("Mg2", "Mg", (0.1375, 0.43632, 0), 0.265),
         ("O1", "O", (0.2393, 0.25, 0), 1.0), ("O2", "O", (0.0479, 0.8833, 0), 1.0),
         ("O3", "O", (0.31, 0.9285, 0), 1.0)),
        formula="MgTi2O5", source="ACS Nano 19 (2025) 20599, Table 4, dynamical",
    ),
}  # fmt: skip
