"""Measured series: cinchonine from its raw frames beside XDS, glycine from the peaks of PETS2, quartz from the spots of
DIALS. The data stay in ../shared/realdata (or $EDTWIN_REALDATA); without them there are no rows.
"""

from __future__ import annotations

from pathlib import Path

from validation.realdata import data_folder
from validation.reduction.dials import PYTHON
from validation.reduction.real_cinchonine import cinchonine_rows
from validation.reduction.real_spots import glycine_rows, quartz_rows
from validation.rows import Row


def real_rows() -> list[Row]:
    """Rows of every measured series that is there."""
    if not data_folder().is_dir():
        return []
    rows = cinchonine_rows() + glycine_rows()
    return rows + (quartz_rows() if Path(PYTHON).is_file() else [])
