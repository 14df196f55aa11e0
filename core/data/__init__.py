"""Data sets: COCO and Pascal VOC folders and the built-in sample, checked, described and cleaned."""
