"""What is known of MMDetection's detectors: one adapter for each family of heads.

``registry`` finds the adapter of a detector, or refuses the detector by name; ``families`` holds one file a family.
"""
