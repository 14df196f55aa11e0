"""The whole compression of a detector tried in minutes: on random weights and synthetic images."""
