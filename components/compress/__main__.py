"""Command line of the compress stage."""

from components.compress.stage import STAGE

if __name__ == "__main__":
    STAGE.run_command()
