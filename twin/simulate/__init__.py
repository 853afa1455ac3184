"""The forward simulator: truth and pose in, expected electrons out."""

from twin.simulate.engine import Engine
from twin.simulate.frame import ExpectedFrame, expected_electrons

__all__ = ["Engine", "ExpectedFrame", "expected_electrons"]
