"""One training loop for plain and compressed detectors."""
