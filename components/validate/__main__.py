"""Command line of the validate stage."""

from components.validate.stage import STAGE

if __name__ == "__main__":
    STAGE.run_command()
