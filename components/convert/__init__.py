"""Stage 6: convert ONNX to OpenVINO IR."""
