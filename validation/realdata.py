"""Where the measured data lie. They are published by others and are not part of the project."""

from __future__ import annotations

import os
from pathlib import Path

_BESIDE = Path(__file__).resolve().parents[2] / "shared" / "realdata"


def data_folder() -> Path:
    """$EDTWIN_REALDATA, or ../shared/realdata beside the repository; it need not be there."""
    return Path(os.environ.get("EDTWIN_REALDATA") or _BESIDE)
