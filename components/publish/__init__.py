"""Stage 10: copy the bundle to its destination."""
