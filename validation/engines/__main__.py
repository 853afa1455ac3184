"""python -m validation.engines [-o DIR] [--quick] [--pages DIR]: the same as ``edtwin validate engines``.

With --part NAME only that part, with --assemble the page from parts that were made before. EDTWIN_STILL may hold a
command that is put before the parts that measure time.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from validation.engines.run import PARTS, assemble, run_part
from validation.studies import run_studies


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m validation.engines", description=__doc__)
    parser.add_argument("-o", "--out", type=Path, default=Path("runs/validate"), help="folder for engines.json")
    parser.add_argument("--quick", action="store_true", help="a few minutes' worth")
    parser.add_argument("--pages", type=Path, default=None, help="write engines.md there")
    parser.add_argument("--part", choices=list(PARTS), default=None, help="only engines-PART.json, no page")
    parser.add_argument("--assemble", action="store_true", help="the page from the parts that lie in --out already")
    arguments = parser.parse_args()
    if arguments.part is not None:
        page = None if arguments.pages is None else arguments.pages / "engines.md"
        run_part(arguments.part, out=arguments.out, quick=arguments.quick, page=page)
        return
    if arguments.assemble:
        assemble(out=arguments.out, page=(arguments.pages or arguments.out) / "engines.md")
        return
    run_studies(["engines"], out=arguments.out, quick=arguments.quick, pages=arguments.pages)


if __name__ == "__main__":
    main()
