"""Passes where --verdict is pass."""

import sys
from pathlib import Path

from core.base.cli import run_stage, stage_parser
from core.base.supervision import run_command

parser = stage_parser("gate", __doc__)
parser.add_argument("--summary", type=Path)
parser.add_argument("--verdict")


def gate(arguments, output):
    return 0 if arguments.verdict == "pass" else 1


if __name__ == "__main__":
    sys.exit(run_command("gate", lambda: run_stage(parser, gate)))
