"""What can go wrong with a microscope, as types."""

from __future__ import annotations


class DeviceError(RuntimeError):
    """The microscope did not do what it was told."""


class ConnectionLost(DeviceError):
    """A part of the microscope no longer answers."""


class FrameLate(DeviceError):
    """The detector did not deliver a frame in time."""


class StageError(DeviceError):
    """The stage is not where it was sent."""


class LimitError(ValueError):
    """A command or a plan beyond the limits of the instrument or the dose; refused before anything moves."""
