"""Compress MMDetection detectors with NNCF and prove the OpenVINO result: the shared library."""
