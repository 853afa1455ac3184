"""py4DSTEM's Bloch waves on our problem. Timed: generate_dynamical_diffraction_pattern of each azimuth, beams given."""

import sys
from importlib.metadata import version
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

import itertools

import numpy as np
import worker
from emdfile import PointList
from py4DSTEM.process.diffraction import Crystal
from py4DSTEM.process.utils import electron_wavelength_angstrom

FIELDS = [("qx", float), ("qy", float), ("intensity", float), ("h", int), ("k", int), ("l", int)]


def load(path):
    p = np.load(path)
    crystal = Crystal(positions=np.zeros((1, 3)), numbers=np.array([1]), cell=np.asarray(p["direct"]))
    crystal.accel_voltage = float(p["energy_ev"])
    crystal.wavelength = electron_wavelength_angstrom(crystal.accel_voltage)
    u = np.conj(p["u"])
    crystal.Ug_dict = {tuple(int(x) for x in h): complex(v) for h, v in zip(p["hkl"], u, strict=False)}
    offsets = p["offsets"]
    lists = []
    for a, b in itertools.pairwise(offsets):
        table = np.zeros(b - a, dtype=FIELDS)
        table["h"], table["k"], table["l"] = p["beams"][a:b].T
        lists.append(PointList(data=table))
    # their wave travels along −(zone axis); rotations bring our beam to +z of the rotated frame
    zones = [-(r.T @ np.array([0.0, 0.0, 1.0])) for r in p["rotations"]]
    return {"crystal": crystal, "lists": lists, "zones": zones, "thickness": [float(t) for t in p["thickness"]]}


def evaluate(s, work):
    intensity = []
    for zone, beams in zip(s["zones"], s["lists"], strict=False):
        out = s["crystal"].generate_dynamical_diffraction_pattern(
            beams, thickness=s["thickness"], zone_axis_cartesian=zone, always_return_list=True
        )
        intensity.append(np.stack([one.data["intensity"] for one in out]))
    return {"intensity": np.concatenate(intensity, axis=1)}


if __name__ == "__main__":
    worker.serve(load, evaluate, {"name": "py4DSTEM", "version": version("py4DSTEM")})
