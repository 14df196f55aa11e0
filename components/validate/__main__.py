"""Command line of the validate stage."""

import sys

from components.validate.stage import STAGE
from core.base.supervision import run_command

main = STAGE.main

if __name__ == "__main__":
    sys.exit(run_command(STAGE.name, main))
