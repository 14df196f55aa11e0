"""Command line of the gate stage."""

from components.gate.stage import STAGE

if __name__ == "__main__":
    STAGE.run_command()
