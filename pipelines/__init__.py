"""The pipeline: its graph, its command line and its local execution."""
