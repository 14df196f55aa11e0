"""Command line of the report stage."""

import sys

from components.report.stage import STAGE
from core.base.supervision import run_command

main = STAGE.main

if __name__ == "__main__":
    sys.exit(run_command(STAGE.name, main))
