"""Stage 1: check every input and give it a digest."""
