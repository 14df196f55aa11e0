"""Command line of the export stage."""

from components.export.stage import STAGE

if __name__ == "__main__":
    STAGE.run_command()
