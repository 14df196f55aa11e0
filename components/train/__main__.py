"""Command line of the train stage."""

from components.train.stage import STAGE

if __name__ == "__main__":
    STAGE.run_command()
