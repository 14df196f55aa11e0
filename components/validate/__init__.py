"""Stage 7: measure both IRs in OpenVINO."""
