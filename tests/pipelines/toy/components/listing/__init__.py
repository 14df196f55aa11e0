"""A toy stage."""
