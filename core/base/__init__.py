"""What every room stands on: errors, files, digests, progress, the command line, the executor output."""
