"""Options that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

Sets = Annotated[list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Override a key of the scenario.")]
Out = Annotated[Path | None, typer.Option("-o", "--out", metavar="DIR", help="Run folder; runs/NAME by default.")]
Workers = Annotated[int, typer.Option("--workers", min=1, max=256, help="Processes to work with.")]
Resume = Annotated[bool, typer.Option("--resume", help="Continue what is in the folder; what is finished stays.")]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Empty a run folder and start again.")]
Target = Annotated[str, typer.Argument(metavar="DIR|SCENARIO", help="A run folder, a scenario, or a TOML file.")]
