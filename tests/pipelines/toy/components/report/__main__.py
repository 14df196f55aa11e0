"""Does what the file --switch says: fail, hang, or copy a summary."""

import json
import os
import sys
import time
from pathlib import Path

from core.base.cli import json_object, run_stage, stage_parser
from core.base.errors import UserError
from core.base.outputs import write_text

parser = stage_parser("report", __doc__)
parser.add_argument("--checkpoint", type=Path)
parser.add_argument("--info", type=json_object)
parser.add_argument("--switch", type=Path)
for name in ("summary", "html", "markdown"):
    parser.add_argument(f"--{name}", type=Path)


def report(arguments, output):
    switch = arguments.switch.read_text()
    if switch == "fail":
        raise UserError("switch", "fail", "It must not.", "Mend it.")
    if switch == "hang":
        print("process", os.getpid(), flush=True)
        time.sleep(600)
    write_text(arguments.summary, switch)
    write_text(arguments.html, (arguments.checkpoint / "part" / "weights.txt").read_text())
    write_text(arguments.markdown, json.dumps(arguments.info, sort_keys=True))


sys.exit(run_stage(parser, report))
