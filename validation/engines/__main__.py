"""python -m validation.engines [-o DIR] [--quick] [--page PATH]"""

from __future__ import annotations

import argparse
from pathlib import Path

from validation.engines.run import run_engines


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m validation.engines", description=__doc__)
    parser.add_argument("-o", "--out", type=Path, default=Path("runs/validate"), help="folder for engines.json")
    parser.add_argument("--quick", action="store_true", help="a few minutes' worth")
    parser.add_argument("--page", type=Path, default=None, help="write docs/validation/engines.md here")
    arguments = parser.parse_args()
    rows = run_engines(out=arguments.out, quick=arguments.quick, page=arguments.page)
    failed = [row for row in rows if row.met is False]
    print(f"{len(rows)} rows in {arguments.out / 'engines.json'}, {len(failed)} goals not met")
    for row in failed:
        print(f"  {row.quantity}: {row.value:.4g} {row.unit}, goal {row.goal} ({row.peer})")


if __name__ == "__main__":
    main()
