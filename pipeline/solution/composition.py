"""What the formula says: elements, classes of scatterers, cell contents and distances that may be expected."""

from __future__ import annotations

import re
from dataclasses import dataclass

import gemmi
import numpy as np

from twin.physics.structure_factors import electron_factor

ANIONS = frozenset({"N", "O", "F", "S", "Cl", "Se", "Br", "Te", "I"})
MOLECULAR = frozenset({"C", "N", "O", "F"})
COVALENT = frozenset({"B", "C", "N", "P"})
TYPICAL_VOLUME_ANGSTROM3 = 12.5  # per atom other than hydrogen; oxides 9-13
VOLUME_RANGE = (0.56, 2.1)  # of the typical volume
MOLECULAR_VOLUME_ANGSTROM3 = {  # Hofmann, Acta Cryst. B58 (2002) 489
    "H": 5.08, "D": 5.08, "C": 13.87, "N": 11.8, "O": 11.39, "F": 11.17, "P": 29.5, "S": 25.2, "Cl": 25.8,
}  # fmt: skip
MOLECULAR_RANGE = (0.75, 1.3)
SIMILAR_FACTOR = 2.5  # cations within this ratio of scattering power may share or swap positions


@dataclass(frozen=True, slots=True, kw_only=True)
class Scatterers:
    """Elements that are looked for together, heaviest class first; counts per formula unit."""

    elements: tuple[str, ...]
    counts: tuple[float, ...]
    anion: bool

    @property
    def total(self) -> float:
        return sum(self.counts)


def parse_formula(formula: str) -> dict[str, float]:
    """'In2O3' -> {'In': 2, 'O': 3}; numbers may be decimal, blanks are ignored."""
    text = formula.replace(" ", "")
    if not re.fullmatch(r"(?:[A-Z][a-z]?(?:\d+(?:\.\d+)?)?)+", text):
        raise ValueError(f"composition '{formula}' is not a formula: element symbols and counts, such as 'MgTi2O5'")
    counts: dict[str, float] = {}
    for symbol, number in re.findall(r"([A-Z][a-z]?)(\d+(?:\.\d+)?)?", text):
        if gemmi.Element(symbol).atomic_number == 0:
            raise ValueError(f"composition '{formula}': '{symbol}' is not an element")
        counts[symbol] = counts.get(symbol, 0.0) + (float(number) if number else 1.0)
    if any(count <= 0 for count in counts.values()):
        raise ValueError(f"composition '{formula}': every count must be greater than zero")
    return counts


def power(element: str) -> float:
    """Scattering power that ranks elements: f at sin θ/λ = 0.35 Å⁻¹."""
    return float(electron_factor(element, 0.35**2))


def classes(formula: dict[str, float]) -> tuple[Scatterers, ...]:
    """Scatterers from strong to weak; cations of similar power together; hydrogen is left out.

    C, N, O, F of a molecule look alike to electrons: one class, sorted out when all have their places.
    """
    elements = sorted((e for e in formula if e not in ("H", "D")), key=lambda e: -power(e))
    if "C" in elements and set(elements) <= MOLECULAR:
        return (Scatterers(elements=tuple(elements), counts=tuple(formula[e] for e in elements), anion=False),)
    groups: list[list[str]] = []
    for element in elements:
        previous = groups[-1] if groups else None
        joins = (
            previous is not None
            and element not in ANIONS | COVALENT
            and not any(e in ANIONS | COVALENT for e in previous)
            and power(previous[0]) < SIMILAR_FACTOR * power(element)
        )
        if joins and previous is not None:
            previous.append(element)
        else:
            groups.append([element])
    return tuple(
        Scatterers(elements=tuple(g), counts=tuple(formula[e] for e in g), anion=all(e in ANIONS for e in g))
        for g in groups
    )


def is_molecular(formula: dict[str, float]) -> bool:
    """A compound of carbon and elements that bind it covalently."""
    return "C" in formula and set(formula) <= set(MOLECULAR_VOLUME_ANGSTROM3)


def formula_units(formula: dict[str, float], *, volume_angstrom3: float, given_angstrom3: float | None) -> list[int]:
    """Numbers of formula units that the cell's volume allows, the most plausible first."""
    if given_angstrom3 is not None:
        return [max(1, round(volume_angstrom3 / given_angstrom3))]
    if is_molecular(formula):
        unit = sum(count * MOLECULAR_VOLUME_ANGSTROM3[element] for element, count in formula.items())
        limits = MOLECULAR_RANGE
    else:
        unit = TYPICAL_VOLUME_ANGSTROM3 * sum(count for element, count in formula.items() if element not in ("H", "D"))
        limits = VOLUME_RANGE
    ideal = volume_angstrom3 / unit
    numbers = [z for z in range(1, int(ideal / limits[0]) + 1) if z * limits[1] >= ideal]
    return sorted(numbers or [max(1, round(ideal))], key=lambda z: abs(np.log(z / ideal)))


def least_distance_angstrom(first: Scatterers, second: Scatterers) -> float:
    """Shortest distance between atoms of two classes that a model may have."""
    if any(e in COVALENT for e in (*first.elements, *second.elements)):
        return 1.1
    if first.anion and second.anion:
        return 2.0
    if first.anion or second.anion:
        return 1.4
    return 2.2
