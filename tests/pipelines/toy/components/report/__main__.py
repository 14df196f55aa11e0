"""Does what the file --switch says: fail, hang, be stuck in native code, or copy a summary."""

import ctypes
import json
import os
import sys
import time
from pathlib import Path

from core.base.cli import json_object, run_stage, stage_parser
from core.base.errors import UserError
from core.base.outputs import write_text
from core.base.supervision import run_command

parser = stage_parser("report", __doc__)
parser.add_argument("--checkpoint", type=Path)
parser.add_argument("--info", type=json_object)
parser.add_argument("--switch", type=Path)
for name in ("summary", "html", "markdown"):
    parser.add_argument(f"--{name}", type=Path)


def report(arguments, output):
    switch = arguments.switch.read_text()
    if switch == "fail":
        raise UserError("switch", "fail", "It must not.", "Fix it.")
    if switch == "hang":
        print("process", os.getpid(), flush=True)
        time.sleep(600)
    if switch == "stuck":
        mutex, library = ctypes.create_string_buffer(64), ctypes.PyDLL(None)
        library.pthread_mutex_lock(mutex)
        print("process", os.getpid(), flush=True)
        library.pthread_mutex_lock(mutex)
    write_text(arguments.summary, switch)
    write_text(arguments.html, (arguments.checkpoint / "part" / "weights.txt").read_text())
    write_text(arguments.markdown, json.dumps(arguments.info, sort_keys=True))


if __name__ == "__main__":
    sys.exit(run_command("report", lambda: run_stage(parser, report)))
