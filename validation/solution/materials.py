"""Crystals that the solution study tries, with the sources of their coordinates."""

from __future__ import annotations

from dataclasses import dataclass, replace

from twin.model.crystal import Cell, Crystal, Site

U_ISO_ANGSTROM2 = 0.0065
Sites = tuple[tuple[str, str, tuple[float, float, float], float], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Material:
    """A crystal, its formula, and where its coordinates come from."""

    crystal: Crystal
    formula: str
    source: str

    @property
    def reference(self) -> Crystal:
        """What a solution is compared with: hydrogen is not looked for."""
        return replace(self.crystal, sites=tuple(s for s in self.crystal.sites if s.element not in ("H", "D")))


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

OTHERS: dict[str, Material] = {
    "quartz": _material(
        "quartz", 'P 31 2"', (4.9134, 4.9134, 5.4052, 90, 90, 120),
        (("Si1", "Si", (0.4697, 0, 1 / 3), 1.0), ("O1", "O", (0.4133, 0.2672, 0.2144), 1.0)),
        formula="SiO2", source="Levien, Prewitt & Weidner, Am. Mineral. 65 (1980) 920",
    ),
    "cristobalite": _material(
        "cristobalite", "P 4abw 2nw", (4.9717, 4.9717, 6.9223, 90, 90, 90),
        (("Si1", "Si", (0.3003, 0.3003, 0), 1.0), ("O1", "O", (0.2392, 0.1044, 0.1787), 1.0)),
        formula="SiO2", source="Downs & Palmer, Am. Mineral. 79 (1994) 9",
    ),
    "wurtzite": _material(
        "wurtzite", "P 6c -2c", (3.2495, 3.2495, 5.2069, 90, 90, 120),
        (("Zn1", "Zn", (1 / 3, 2 / 3, 0), 1.0), ("O1", "O", (1 / 3, 2 / 3, 0.382), 1.0)),
        formula="ZnO", source="Kihara & Donnay, Can. Mineral. 23 (1985) 647",
    ),
    "LiNbO3": _material(
        "LiNbO3", 'R 3 -2"c', (5.1483, 5.1483, 13.8631, 90, 90, 120),
        (("Nb1", "Nb", (0, 0, 0), 1.0), ("Li1", "Li", (0, 0, 0.2787), 1.0),
         ("O1", "O", (0.0476, 0.3433, 0.0633), 1.0)),
        formula="LiNbO3", source="after Abrahams, Reddy & Bernstein, J. Phys. Chem. Solids 27 (1966) 997",
    ),
    "PbTiO3": _material(
        "PbTiO3", "P 4 -2", (3.904, 3.904, 4.152, 90, 90, 90),
        (("Pb1", "Pb", (0, 0, 0), 1.0), ("Ti1", "Ti", (0.5, 0.5, 0.539), 1.0),
         ("O1", "O", (0.5, 0.5, 0.114), 1.0), ("O2", "O", (0, 0.5, 0.617), 1.0)),
        formula="PbTiO3", source="Shirane, Pepinsky & Frazer, Acta Cryst. 9 (1956) 131",
    ),
    "baddeleyite": _material(
        "baddeleyite", "-P 2ybc", (5.1505, 5.2116, 5.3173, 90, 99.23, 90),
        (("Zr1", "Zr", (0.2754, 0.0395, 0.2083), 1.0), ("O1", "O", (0.0700, 0.3317, 0.3447), 1.0),
         ("O2", "O", (0.4496, 0.7569, 0.4792), 1.0)),
        formula="ZrO2", source="Howard, Hill & Reichert, Acta Cryst. B44 (1988) 116",
    ),
    "alloclasite": _material(
        "alloclasite", "P 2yb", (4.661, 5.602, 3.411, 90, 90.2, 90),
        (("Co1", "Co", (0.24824, 0, 0.2448), 1.0), ("As1", "As", (0.04766, 0.37149, 0.25547), 1.0),
         ("S1", "S", (0.44104, 0.62236, 0.24239), 1.0)),
        formula="CoAsS", source="Scott & Nowacki, Can. Mineral. 14 (1976) 561",
    ),
    "cobaltite": _material(
        "cobaltite", "P 2c -2ac", (5.5833, 5.5892, 5.5812, 90, 90, 90),
        (("Co1", "Co", (0.99504, 0.25909, 0), 1.0), ("As1", "As", (0.61885, 0.86935, 0.61669), 1.0),
         ("S1", "S", (0.38266, 0.63129, 0.37996), 1.0)),
        formula="CoAsS", source="Fleet & Burns, Can. Mineral. 28 (1990) 719",
    ),
    "artroeite": _material(
        "artroeite", "-P 1", (6.27, 6.821, 5.057, 90.68, 107.69, 104.46),
        (("Pb1", "Pb", (0.30975, 0.19142, 0.20352), 1.0), ("Al1", "Al", (0.811, 0.3273, 0.8364), 1.0),
         ("F1", "F", (0.795, 0.1378, 0.5751), 1.0), ("F2", "F", (0.7407, 0.4891, 0.5627), 1.0),
         ("F3", "F", (0.5137, 0.2308, 0.8113), 1.0), ("O1", "O", (0.8629, 0.5514, 0.0981), 1.0),
         ("O2", "O", (0.8981, 0.1432, 0.0988), 1.0), ("H1", "H", (0.807, 0.509, 0.253), 1.0),
         ("H2", "H", (0.862, 0.122, 0.255), 1.0)),
        formula="PbAlF3O2H2", source="Kampf & Foord, Am. Mineral. 80 (1995) 179",
    ),
    "sillimanite": _material(
        "sillimanite", "-P 2c 2ab", (7.4883, 7.6808, 5.7774, 90, 90, 90),
        (("Al1", "Al", (0, 0, 0), 1.0), ("Al2", "Al", (0.1417, 0.3449, 0.25), 1.0),
         ("Si1", "Si", (0.1533, 0.3402, 0.75), 1.0), ("O1", "O", (0.3605, 0.4094, 0.75), 1.0),
         ("O2", "O", (0.3569, 0.4341, 0.25), 1.0), ("O3", "O", (0.4763, 0.0015, 0.75), 1.0),
         ("O4", "O", (0.1252, 0.2230, 0.5145), 1.0)),
        formula="Al2SiO5", source="Winter & Ghose, Am. Mineral. 64 (1979) 573",
    ),
    "molybdenite-3R": _material(
        "molybdenite-3R", 'R 3 -2"', (3.163, 3.163, 18.37, 90, 90, 120),
        (("Mo1", "Mo", (0, 0, 0), 1.0), ("S1", "S", (0, 0, 0.2516), 1.0), ("S2", "S", (0, 0, 0.4151), 1.0)),
        formula="MoS2", source="Schönfeld, Huang & Moss, Acta Cryst. B39 (1983) 404",
    ),
    "urea": _material(
        "urea", "P -4 2ab", (5.565, 5.565, 4.684, 90, 90, 90),
        (("C1", "C", (0, 0.5, 0.326), 1.0), ("O1", "O", (0, 0.5, 0.5953), 1.0),
         ("N1", "N", (0.1459, 0.6459, 0.1766), 1.0), ("H1", "H", (0.2575, 0.7575, 0.2827), 1.0),
         ("H2", "H", (0.1441, 0.6441, 0.962), 1.0)),
        formula="CH4N2O", source="Swaminathan, Craven & McMullan, Acta Cryst. B40 (1984) 300",
    ),
}  # fmt: skip
