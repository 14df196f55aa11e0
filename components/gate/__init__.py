"""Stage 9: fail the run where the compressed model is not good enough."""
