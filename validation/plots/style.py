"""One look for every figure: colours that survive colour blindness (Okabe & Ito 2008), quiet axes, no global state."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

INK = "#1b2530"
MUTED = "#5b6875"
GRID = "#dfe4e9"
KINEMATICAL = "#d55e00"
FRAME_BASED = "#b8860b"
NON_AVERAGED = "#aa4499"
DYNAMICAL = "#0072b2"
TRUTH = "#007a5a"
ACCENT = "#56b4e9"

TREATMENT_COLOUR = {
    "kinematical_averaged": KINEMATICAL,
    "kinematical_non_averaged": NON_AVERAGED,
    "kinematical_frame_based": FRAME_BASED,
    "dynamical": DYNAMICAL,
}
TREATMENT_NAME = {
    "kinematical_averaged": "kinematical, averaged",
    "kinematical_non_averaged": "kinematical, non-averaged",
    "kinematical_frame_based": "kinematical, frame-based",
    "dynamical": "dynamical",
}
ELEMENT_COLOUR = {"O": "#cc2f27", "Ti": "#6f7c8a", "In": "#8a5a2b", "Sn": "#5f7d4f", "Mg": "#3f8f2f"}

RC: Any = {
    "font.family": "DejaVu Sans",
    "font.size": 9,
    "axes.titlesize": 9.5,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.labelsize": 9,
    "axes.labelcolor": INK,
    "axes.edgecolor": MUTED,
    "axes.linewidth": 0.8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": GRID,
    "grid.linewidth": 0.7,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "xtick.labelsize": 8,
    "ytick.labelsize": 8,
    "text.color": INK,
    "legend.frameon": False,
    "legend.fontsize": 8,
    "lines.linewidth": 1.5,
    "figure.dpi": 100,
    "savefig.dpi": 200,
    "svg.hashsalt": "edtwin",
    "svg.fonttype": "path",
    "figure.constrained_layout.use": True,
    "figure.constrained_layout.h_pad": 0.08,
    "figure.constrained_layout.w_pad": 0.08,
}


def draw(painter: Callable[..., None], *, width: float, height: float, rows: int = 1, columns: int = 1,
         **axes_options: Any) -> Figure:  # fmt: skip
    """A figure of ``width`` × ``height`` inches whose axes array (rows, columns) is painted by ``painter(axes)``."""
    with mpl.rc_context(RC):
        figure = Figure(figsize=(width, height))
        axes = figure.subplots(rows, columns, squeeze=False, **axes_options)
        painter(axes)
    return figure


def no_axes(ax: Axes) -> None:
    """Take away frame, ticks and grid, keep title and content."""
    ax.grid(False)
    ax.set_xticks([])
    ax.set_yticks([])
    for spine in ax.spines.values():
        spine.set_visible(False)


def svg(figure: Figure) -> str:
    """Reproducible SVG text (no date, fixed ids)."""
    text = io.StringIO()
    with mpl.rc_context(RC):
        figure.savefig(text, format="svg", metadata={"Date": None, "Creator": None})
    return text.getvalue()


def png(figure: Figure, *, dpi: int = 200) -> bytes:
    """PNG bytes on white."""
    data = io.BytesIO()
    with mpl.rc_context(RC):
        figure.savefig(data, format="png", dpi=dpi, facecolor="white", metadata={"Software": None})
    return data.getvalue()
