"""Performance claims as programs that anyone can run."""
