"""Command line of the convert stage."""

from components.convert.stage import STAGE

if __name__ == "__main__":
    STAGE.run_command()
