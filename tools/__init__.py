"""MMDetection's commands: train, test, export, and the whole compression; thin over core."""
