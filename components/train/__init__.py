"""Stage 2: train the FP32 detector, or take the one that is given."""
