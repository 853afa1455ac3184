"""Refinement against measured data, beside published refinements."""
