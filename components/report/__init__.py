"""Stage 8: put all measurements together."""
