"""Comparison of crystal structures (COMPSTRU's quantities) for any two descriptions."""

from validation.compare.structures import Comparison, SiteMatch, compare_structures

__all__ = ["Comparison", "SiteMatch", "compare_structures"]
