"""The whole compression: train, compress, export, validate, report, publish. It is pipelines/compress.py."""

import sys
from pathlib import Path

if __name__ == "__main__":
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from core.base.supervision import run_command
from pipelines.compress import PROGRAM, enter_environment, main

if __name__ == "__main__":
    enter_environment()
    sys.exit(run_command(PROGRAM, main))
