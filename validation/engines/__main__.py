"""python -m validation.engines [-o DIR] [--quick] [--pages DIR]: the same as ``edtwin validate engines``."""

from __future__ import annotations

import argparse
from pathlib import Path

from validation.studies import run_studies


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m validation.engines", description=__doc__)
    parser.add_argument("-o", "--out", type=Path, default=Path("runs/validate"), help="folder for engines.json")
    parser.add_argument("--quick", action="store_true", help="a few minutes' worth")
    parser.add_argument("--pages", type=Path, default=None, help="write engines.md there")
    arguments = parser.parse_args()
    run_studies(["engines"], out=arguments.out, quick=arguments.quick, pages=arguments.pages)


if __name__ == "__main__":
    main()
