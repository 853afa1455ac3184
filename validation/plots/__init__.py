"""Figures of the report and the documentation, one topic a file, one style for all."""
