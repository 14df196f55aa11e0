"""Stage 5: export a checkpoint to ONNX."""
