"""Scoring detections: the one metric implementation for PyTorch and OpenVINO."""
