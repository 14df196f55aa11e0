"""Writes its text to a file, with metadata, a log and a dict parameter."""

import sys
from pathlib import Path

from core.base.cli import run_stage, stage_parser
from core.base.outputs import write_json, write_text
from core.base.supervision import run_command

parser = stage_parser("train", __doc__)
parser.add_argument("--text")
parser.add_argument("--number", type=int)
for name in ("checkpoint", "log", "info"):
    parser.add_argument(f"--{name}", type=Path)


def train(arguments, output):
    print("training on", arguments.text)
    print("a warning", file=sys.stderr)
    write_text(arguments.checkpoint / "part" / "weights.txt", arguments.text)
    write_text(arguments.log, "{}\n")
    write_json(arguments.info, {"text": arguments.text, "number": arguments.number, "half": 0.5})
    output.artifact("checkpoint", {"length": len(arguments.text), "loss": float("nan"), "none": None})


if __name__ == "__main__":
    sys.exit(run_command("train", lambda: run_stage(parser, train)))
