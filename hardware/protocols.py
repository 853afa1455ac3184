"""What a microscope must be able to do, as protocols. Procedures know only these; angles in degrees, times in seconds.

A method returns when its action is finished unless it says otherwise, and raises a ``DeviceError`` when it fails.
"""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from twin.model.instrument import Microscope


class Clock(Protocol):
    """Time. The virtual one runs as fast as it is asked to."""

    def now_s(self) -> float: ...

    def sleep(self, seconds: float, /) -> None: ...


class Goniometer(Protocol):
    """The tilt of the stage about its one axis."""

    def alpha_deg(self) -> float:
        """Reading of the encoder now."""
        ...

    def move_to(self, alpha_deg: float, *, speed_deg_s: float) -> None:
        """Go there and settle."""
        ...

    def start_rotation(self, to_deg: float, *, speed_deg_s: float) -> None:
        """Begin to turn at constant speed; returns at once, the stage stops at ``to_deg``."""
        ...

    def stop(self) -> None:
        """Stop where the stage is."""
        ...


class BeamControl(Protocol):
    """The beam blanker."""

    def blank(self) -> None: ...

    def unblank(self) -> None: ...

    def is_blanked(self) -> bool: ...


class PrecessionUnit(Protocol):
    """Beam precession with descan; 0 switches it off."""

    def set_semi_angle(self, precession_deg: float) -> None: ...

    def semi_angle_deg(self) -> float: ...


class DetectorControl(Protocol):
    """A counting detector that times its own series."""

    def start(self, *, frames: int, exposure_s: float) -> None:
        """Begin a series of back-to-back exposures; returns at once, the first exposure has begun."""
        ...

    def read(self) -> NDArray[np.uint32]:
        """Wait for the next frame of the series and return its counts (slow, fast)."""
        ...

    def stop(self) -> None:
        """Give up the series, if there is one."""
        ...

    def bad_pixels(self) -> NDArray[np.bool_]:
        """(slow, fast), True where counts must not be believed."""
        ...


class Navigator(Protocol):
    """Brings particles under the beam one after the other: a serial acquisition has no other axis than this one."""

    def go_to(self, index: int, /) -> None:
        """Find particle ``index`` and centre it."""
        ...


class MicroscopeDevice(Protocol):
    """The parts together, and the settings that the laboratory believes in."""

    @property
    def goniometer(self) -> Goniometer: ...

    @property
    def beam(self) -> BeamControl: ...

    @property
    def precession(self) -> PrecessionUnit: ...

    @property
    def detector(self) -> DetectorControl: ...

    def settings(self) -> Microscope:
        """Nominal settings."""
        ...


class Recorder(Protocol):
    """Where frames go; remembers what it already has (``twin.files.nxmx.SeriesRecorder`` is one)."""

    @property
    def missing(self) -> tuple[int, ...]: ...

    def record(
        self,
        *,
        index: int,
        counts: NDArray[np.generic],
        alpha_start_deg: float,
        alpha_end_deg: float,
        exposure_s: float,
    ) -> None: ...
