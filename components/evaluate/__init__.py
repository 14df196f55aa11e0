"""Stage 3: score a checkpoint with PyTorch."""
