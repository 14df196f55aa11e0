"""Command line of the resolve stage."""

from components.resolve.stage import STAGE

if __name__ == "__main__":
    STAGE.run_command()
