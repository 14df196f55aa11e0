"""Stages of a toy pipeline, each a few lines, under the names of real ones."""
