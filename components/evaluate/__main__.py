"""Command line of the evaluate stage."""

from components.evaluate.stage import STAGE

if __name__ == "__main__":
    STAGE.run_command()
