"""Laue class from intensities, among the subgroups of the lattice's symmetry."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipeline.reduction.statistics import r_int

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

_SUBGROUPS: dict[str, tuple[str, ...]] = {
    "cubic": ("-P 4 2 3", "-P 2 2 3", "-P 4 2", "-P 4", "-P 2 2", "-P 2y", "-P 1"),
    "hexagonal": ("-P 6 2", "-P 6", '-P 3 2"', "-P 3 2", "-P 3", "-P 2", "-P 1"),
    "tetragonal": ("-P 4 2", "-P 4", "-P 2 2", "-P 2", "-P 2y", "-P 1"),
    "rhombohedral": ('-P 3 2"', "-P 3", "-P 1"),
    "orthorhombic": ("-P 2 2", "-P 2y", "-P 2", "-P 2x", "-P 1"),
    "monoclinic": ("-P 2y", "-P 1"),
    "triclinic": ("-P 1",),
}
_ORDER = {
    "-P 4 2 3": 48,
    "-P 2 2 3": 24,
    "-P 6 2": 24,
    "-P 4 2": 16,
    "-P 6": 12,
    '-P 3 2"': 12,
    "-P 3 2": 12,
    "-P 4": 8,
    "-P 2 2": 8,
    "-P 3": 6,
    "-P 2y": 4,
    "-P 2": 4,
    "-P 2x": 4,
    "-P 1": 2,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class LaueEvidence:
    """R_int (percent) of each subgroup and the one chosen."""

    hall: str
    table: tuple[tuple[str, float, int], ...]

    def sentence(self) -> str:
        rows = ", ".join(f"{hall} {value:.1f} % ({n})" for hall, value, n in self.table)
        return f"Laue class {self.hall} chosen by R_int: {rows}"


def laue_evidence(
    *, hkl: Ints, intensity: Floats, sigma: Floats, system: str, slack: float = 1.35, floor_percent: float = 4.0
) -> LaueEvidence:
    """Highest class whose R_int on observed reflections is not much above the best of the smaller classes.

    A wrong class averages reflections that have nothing in common, which raises R_int to tens of percent; multiple
    scattering and noise raise it in all classes alike.
    """
    table = []
    for hall in _SUBGROUPS[system]:
        value, number = r_int(hkl=hkl, intensity=intensity, sigma=sigma, hall=hall, cut=3.0)
        table.append((hall, value, number))
    for hall, value, number in table:
        if number < 20:
            continue
        smaller = [v for h, v, n in table if _ORDER[h] < _ORDER[hall] and n >= 20 and np.isfinite(v)]
        if not smaller or value <= slack * min(smaller) + floor_percent:
            return LaueEvidence(hall=hall, table=tuple(table))
    return LaueEvidence(hall=table[-1][0], table=tuple(table))
