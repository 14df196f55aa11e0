"""Passes where --verdict is pass."""

import sys
from pathlib import Path

from core.base.cli import run_stage, stage_parser

parser = stage_parser("gate", __doc__)
parser.add_argument("--summary", type=Path)
parser.add_argument("--verdict")
sys.exit(run_stage(parser, lambda arguments, output: 0 if arguments.verdict == "pass" else 1))
