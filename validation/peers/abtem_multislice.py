"""abTEM's multislice on our atoms: same factors, U, slices and grid. Timed: potential, propagation, or both."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))


import abtem
import numpy as np
import worker
from abtem.parametrizations import PengParametrization
from ase import Atoms

abtem.config.set({"precision": "float32", "fft": "fftw" if "--fftw" in sys.argv else "numpy", "device": "cpu"})
abtem.config.set({"dask.lazy": False, "diagnostics.progress_bar": False})


def load(path):
    p = np.load(path)
    symbols = [str(s) for s in p["symbols"]]
    factors = {s: [list(a), list(b)] for s, a, b in zip(symbols, p["a"], p["b"], strict=True)}
    sigmas = {s: float(np.sqrt(u)) for s, u in zip(symbols, p["u_iso"], strict=True)}
    extent, height = float(p["extent"]), float(p["slice"]) * int(p["slices"])
    atoms = Atoms(
        symbols=[symbols[i] for i in p["element"]], positions=p["position"], cell=[extent, extent, height], pbc=True
    )
    return {
        "atoms": atoms,
        "factors": PengParametrization(parameters=factors, sigmas=sigmas),
        "points": int(p["points"]),
        "slice": float(p["slice"]),
        "energy": float(p["energy_ev"]),
        "potential": None,
    }


def potential(s):
    return abtem.Potential(
        s["atoms"],
        gpts=s["points"],
        slice_thickness=s["slice"],
        parametrization=s["factors"],
        projection="infinite",
        periodic=True,
    )


def evaluate(s, work):
    if work == "potential":
        s["potential"] = potential(s).build(lazy=False)
        return {}
    built = s["potential"] if work == "propagation" else potential(s).build(lazy=False)
    wave = abtem.PlaneWave(energy=s["energy"])
    exit_wave = wave.multislice(built, lazy=False)
    array = np.asarray(exit_wave.array, dtype=np.complex128)
    spectrum = np.fft.fft2(array).T / array.size  # theirs is [x, y]
    peak = worker.peak_bytes()
    return {"intensity": np.abs(spectrum) ** 2, "peak_bytes": np.array(peak)}


if __name__ == "__main__":
    worker.serve(load, evaluate, {"name": "abTEM", "version": abtem.__version__})
