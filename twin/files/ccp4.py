"""Maps over one unit cell as CCP4/MRC files (Cheng et al., J. Struct. Biol. 192 (2015) 146)."""

from __future__ import annotations

from typing import Any

import gemmi
import numpy as np

from twin.model.crystal import Crystal
from twin.physics.lattice import Floats


def ccp4_bytes(crystal: Crystal, values: Floats) -> bytes:
    """Content of the file (mode 2, columns along a). values: (u, v, w) with u along a, as they are to be read."""
    group: Any = gemmi.find_spacegroup_by_ops(gemmi.symops_from_hall(crystal.hall))
    number = 1 if group is None else int(group.number)
    data = np.ascontiguousarray(values.transpose(2, 1, 0), dtype="<f4")
    u, v, w = values.shape
    words = np.zeros(256, dtype="<i4")
    words[:10] = (u, v, w, 2, 0, 0, 0, u, v, w)
    real = words.view("<f4")
    real[10:16] = crystal.cell.parameters
    words[16:19] = (1, 2, 3)
    real[19:22] = (data.min(), data.max(), data.mean(dtype=np.float64))
    words[22] = number
    words[52] = int.from_bytes(b"MAP ", "little")
    words[53] = int.from_bytes(bytes((0x44, 0x44, 0, 0)), "little")
    real[54] = data.std(dtype=np.float64)
    return words.tobytes() + data.tobytes()
