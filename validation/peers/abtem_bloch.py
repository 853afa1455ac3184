"""abTEM's Bloch waves on our problem. Timed: structure matrix and eigendecomposition of each azimuth, beams given."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

import itertools

import abtem
import numpy as np
import worker
from abtem.bloch import dynamical
from abtem.core.energy import energy2sigma, energy2wavelength
from ase.cell import Cell

abtem.config.set({"precision": "float64"})


def load(path):
    p = np.load(path)
    energy = float(p["energy_ev"])
    # their A = F · σ / (κ λ π): give them the F that makes their matrix our U
    prefactor = energy2sigma(energy) / (dynamical.kappa * energy2wavelength(energy) * np.pi)
    offsets = p["offsets"]
    limits = np.abs(p["hkl"]).max(axis=0)
    return {
        "array": np.conj(p["u"]) / prefactor,
        "hkl": p["hkl"],
        "gpts": tuple(int(2 * n + 1) for n in limits),
        "energy": energy,
        "cells": [Cell(p["direct"] @ r.T) for r in p["rotations"]],  # rows a, b, c; the beam along +z
        "beams": [p["beams"][a:b] for a, b in itertools.pairwise(offsets)],
        "thickness": np.asarray(p["thickness"]),
    }


def evaluate(s, work):
    intensity = []
    for cell, beams in zip(s["cells"], s["beams"], strict=False):
        matrix = dynamical.calculate_structure_matrix(
            s["array"], hkl=s["hkl"], hkl_selected=beams, cell=cell, energy=s["energy"], gpts=s["gpts"]
        )
        waves = dynamical.calculate_dynamical_scattering(matrix, beams, cell, s["energy"], s["thickness"])
        intensity.append(np.abs(waves) ** 2)
    return {"intensity": np.concatenate(intensity, axis=1)}


if __name__ == "__main__":
    worker.serve(load, evaluate, {"name": "abTEM", "version": abtem.__version__})
