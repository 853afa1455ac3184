"""Runs in the Python of DIALS: strong spots as plain arrays. Arguments: refl, npz."""

import sys

import numpy as np
from dials.array_family import flex

table = flex.reflection_table.from_file(sys.argv[1])
xyz = np.array(table["xyzobs.px.value"]).reshape(-1, 3)
np.savez(
    sys.argv[2],
    xyz=xyz,
    intensity=np.array(table["intensity.sum.value"]),
    variance=np.array(table["intensity.sum.variance"]),
)
