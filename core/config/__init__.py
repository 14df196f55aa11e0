"""MMDetection configs: read as data, checked, adapted to a data set, fingerprinted."""
