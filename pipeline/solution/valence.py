"""Bond lengths as evidence for which position holds which element: bond valences of oxides.

The valence of a bond is exp((R₀ − R) / 0.37 Å); those of an atom sum to its oxidation state. Parameters: Brown &
Altermatt, Acta Cryst. B41 (1985) 244; Brese & O'Keeffe, Acta Cryst. B47 (1991) 192.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping

import numpy as np

from pipeline.solution.model import Atoms
from pipeline.solution.peaks import distances, orbit_of
from twin.physics.lattice import Floats
from twin.physics.symmetry import operations

_CELLS = np.stack(np.meshgrid(*[np.arange(-2, 3)] * 3, indexing="ij"), axis=-1).reshape(-1, 3)
SOFTNESS_ANGSTROM = 0.37
REACH_ANGSTROM = 3.5  # of a bond; cells are at least 1.75 Å wide
SAME_ANGSTROM = 0.02
BOND_ANGSTROM = 0.04  # error of a bond length of a model that is not refined yet
RELATIVE = 0.05  # of a sum of valences: that of the parameters, and of bonds that nature strains
DECISIVE = 25.0  # by which the sum of squared deviations must be larger, in units of the model's own
BELIEVED = 6.0  # mean square deviation of a model whose bonds are believed at all
OXIDES: Mapping[str, tuple[tuple[int, float], ...]] = {  # oxidation state, R₀ in Å of its bond to oxygen
    "H": ((1, 0.95),), "Li": ((1, 1.466),), "Be": ((2, 1.381),), "B": ((3, 1.371),), "C": ((4, 1.390),),
    "Na": ((1, 1.803),), "Mg": ((2, 1.693),), "Al": ((3, 1.651),), "Si": ((4, 1.624),), "P": ((5, 1.604),),
    "S": ((6, 1.624),), "K": ((1, 2.132),), "Ca": ((2, 1.967),), "Sc": ((3, 1.849),),
    "Ti": ((4, 1.815), (3, 1.791)), "V": ((5, 1.803), (4, 1.784), (3, 1.743)), "Cr": ((3, 1.724), (6, 1.794)),
    "Mn": ((2, 1.790), (3, 1.760), (4, 1.753)), "Fe": ((3, 1.759), (2, 1.734)), "Co": ((2, 1.692), (3, 1.70)),
    "Ni": ((2, 1.654),), "Cu": ((2, 1.679),), "Zn": ((2, 1.704),), "Ga": ((3, 1.730),), "Ge": ((4, 1.748),),
    "As": ((5, 1.767), (3, 1.789)), "Se": ((4, 1.811), (6, 1.788)), "Rb": ((1, 2.263),), "Sr": ((2, 2.118),),
    "Y": ((3, 2.014),), "Zr": ((4, 1.937),), "Nb": ((5, 1.911),), "Mo": ((6, 1.907),), "Ag": ((1, 1.842),),
    "Cd": ((2, 1.904),), "In": ((3, 1.902),), "Sn": ((4, 1.905),), "Sb": ((5, 1.942),), "Te": ((6, 1.917), (4, 1.977)),
    "Cs": ((1, 2.417),), "Ba": ((2, 2.285),), "La": ((3, 2.172),), "Ce": ((4, 2.028), (3, 2.151)), "Pr": ((3, 2.138),),
    "Nd": ((3, 2.117),), "Sm": ((3, 2.088),), "Eu": ((3, 2.074), (2, 2.147)), "Gd": ((3, 2.065),), "Tb": ((3, 2.049),),
    "Dy": ((3, 2.001),), "Ho": ((3, 2.025),), "Er": ((3, 2.010),), "Tm": ((3, 2.000),), "Yb": ((3, 1.985),),
    "Lu": ((3, 1.971),), "Hf": ((4, 1.923),), "Ta": ((5, 1.920),), "W": ((6, 1.921),), "Hg": ((2, 1.972),),
    "Pb": ((2, 2.112), (4, 2.042)), "Bi": ((3, 2.094),), "Th": ((4, 2.167),), "U": ((4, 2.112), (6, 2.075)),
}  # fmt: skip


def oxidation_states(formula: Mapping[str, float]) -> dict[str, int]:
    """The states that make an oxide neutral; empty when it is none, or when several or no choices do."""
    cations = [e for e in formula if e != "O"]
    if "O" not in formula or not all(e in OXIDES for e in cations):
        return {}
    found = [
        dict(zip(cations, states, strict=True))
        for states in itertools.product(*([state for state, _ in OXIDES[e]] for e in cations))
        if abs(sum(s * formula[e] for s, e in zip(states, cations, strict=True)) - 2.0 * formula["O"]) < 1e-6
    ]
    return found[0] if len(found) == 1 else {}


def deviations(atoms: Atoms, *, hall: str, direct: Floats, states: Mapping[str, int]) -> Floats:
    """(sum of valences − oxidation state) of each cation over the error of the sum; (cations,), empty if mixed."""
    if np.any((atoms.occupancy > 0.0) & (atoms.occupancy < 1.0)):
        return np.zeros(0)  # positions that elements share have no bonds of their own
    names = [atoms.elements[k] for k in atoms.occupancy.argmax(axis=1)]
    ops = operations(hall)
    orbits = [orbit_of(x, ops) for x, name in zip(atoms.fract, names, strict=True) if name == "O"]
    oxygen = np.concatenate(orbits)
    # an orbit holds the images of a special position several times
    share = np.concatenate([np.full(len(o), 1.0 / np.sum(distances(o[0], o, direct) < SAME_ANGSTROM)) for o in orbits])
    found = []
    for x, name in zip(atoms.fract, names, strict=True):
        if name == "O":
            continue
        away = (oxygen - x) - np.round(oxygen - x)
        length = np.linalg.norm((away[:, None, :] + _CELLS) @ direct.T, axis=2)
        strength = np.exp((dict(OXIDES[name])[states[name]] - length) / SOFTNESS_ANGSTROM) * (length < REACH_ANGSTROM)
        per_image = np.stack([strength.sum(axis=1), (strength**2).sum(axis=1)])
        total, squares = per_image @ share
        error = np.hypot(BOND_ANGSTROM / SOFTNESS_ANGSTROM * np.sqrt(squares), RELATIVE * states[name])
        found.append((total - states[name]) / error)
    return np.array(found)


def bonds_exclude(
    other: Atoms, model: Atoms, *, hall: str, direct: Floats, states: Mapping[str, int]
) -> bool:
    """Whether bond lengths speak against ``other`` beyond doubt, and not against the model itself.

    False where they cannot be asked: no oxide, states not certain, positions shared by elements.
    """
    if not states:
        return False
    own = deviations(model, hall=hall, direct=direct, states=states)
    against = deviations(other, hall=hall, direct=direct, states=states)
    if not len(own) or not len(against):
        return False
    unit = max(1.0, float(np.mean(own**2)))
    return unit < BELIEVED and float(np.sum(against**2) - np.sum(own**2)) > DECISIVE * unit
