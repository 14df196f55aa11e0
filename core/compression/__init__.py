"""NNCF 2.0.0 in MMDetection 2.x: wrap, trace, train with and restore compressed detectors."""
