"""Writes a list of candidates and a dict, as resolve does."""

import sys
from pathlib import Path

from core.base.cli import name_list, run_stage, stage_parser
from core.base.outputs import write_json
from core.base.supervision import run_command

parser = stage_parser("listing", __doc__)
parser.add_argument("--names", type=name_list)
for name in ("candidates", "info"):
    parser.add_argument(f"--{name}", type=Path)


def listing(arguments, output):
    write_json(arguments.candidates, [{"name": name, "text": f"of {name}"} for name in arguments.names])
    write_json(arguments.info, {"shared": "by all"})


if __name__ == "__main__":
    sys.exit(run_command("listing", lambda: run_stage(parser, listing)))
