"""Command line of the report stage."""

from components.report.stage import STAGE

if __name__ == "__main__":
    STAGE.run_command()
