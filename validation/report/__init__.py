"""The report of a run: one self-contained HTML page."""

from validation.report.page import render_report, write_report

__all__ = ["render_report", "write_report"]
