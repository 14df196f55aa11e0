"""Joins what was made of all candidates."""

import json
import sys
from pathlib import Path

from core.base.cli import name_list, run_stage, stage_parser
from core.base.executor_input import candidates_of
from core.base.outputs import write_json
from core.base.supervision import run_command

parser = stage_parser("collect", __doc__)
parser.add_argument("--digests", type=name_list)
parser.add_argument("--html", type=Path)


def collect(arguments, output):
    made = candidates_of(arguments.executor_input, "made")
    write_json(arguments.html, {"made": {name: path.read_text() for name, path in made.items()},
                                "digests": arguments.digests})
    print(json.dumps(arguments.digests))


if __name__ == "__main__":
    sys.exit(run_command("collect", lambda: run_stage(parser, collect)))
