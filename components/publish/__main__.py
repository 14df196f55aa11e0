"""Command line of the publish stage."""

from components.publish.stage import STAGE

if __name__ == "__main__":
    STAGE.run_command()
