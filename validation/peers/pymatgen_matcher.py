"""Largest distance of matched atoms by pymatgen's StructureMatcher. Runs in pymatgen's own environment.

problem.npz: lattice (3, 3) rows in Å, fract1, fract2 (n, 3), numbers1, numbers2 (n,). Result: largest in Å; rms in Å;
NaN where the structures do not match.
"""

import sys
from importlib.metadata import version
from pathlib import Path

import numpy as np
from pymatgen.analysis.structure_matcher import StructureMatcher
from pymatgen.core import Lattice, Structure

sys.path.insert(0, str(Path(__file__).parent))
from worker import serve


def load(path):
    with np.load(path) as data:
        lattice = Lattice(data["lattice"])
        return [Structure(lattice, [int(z) for z in data[f"numbers{k}"]], data[f"fract{k}"] % 1.0) for k in (1, 2)]


def evaluate(structures, work):
    """The matcher divides distances by (volume / atoms)^(1/3)."""
    one, two = structures
    found = StructureMatcher(primitive_cell=False, scale=False).get_rms_dist(one, two)
    unit = (one.volume / len(one)) ** (1.0 / 3.0)
    rms, largest = (np.nan, np.nan) if found is None else (found[0] * unit, found[1] * unit)
    return {"largest": np.array(largest), "rms": np.array(rms)}


if __name__ == "__main__":
    serve(load, evaluate, {"name": "pymatgen", "version": version("pymatgen")})
