"""From a checkpoint to ONNX and from ONNX to OpenVINO IR, with everything needed to run it described beside it."""
