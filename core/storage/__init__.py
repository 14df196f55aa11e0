"""Where inputs come from and results go: locations, digests, parent checkpoints and published bundles."""
