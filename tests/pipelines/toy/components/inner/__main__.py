"""Makes a candidate's artifact; dies where the file --switch has its name."""

import os
import signal
import sys
from pathlib import Path

from core.base.cli import json_object, run_stage, stage_parser
from core.base.outputs import write_text
from core.base.supervision import run_command

parser = stage_parser("inner", __doc__)
for name in ("candidate", "info"):
    parser.add_argument(f"--{name}", type=json_object)
for name in ("checkpoint", "switch", "made", "digest"):
    parser.add_argument(f"--{name}", type=Path)


def inner(arguments, output):
    name = arguments.candidate["name"]
    if arguments.switch.read_text() == name:
        os.kill(os.getpid(), signal.SIGKILL)
    write_text(arguments.made, f"{arguments.candidate['text']}, {arguments.info['shared']}, "
               + (arguments.checkpoint / "part" / "weights.txt").read_text())
    write_text(arguments.digest, f"digest of {name}")
    output.artifact("made", {"candidate": name})


if __name__ == "__main__":
    sys.exit(run_command("inner", lambda: run_stage(parser, inner)))
