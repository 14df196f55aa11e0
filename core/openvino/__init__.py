"""Converting to OpenVINO IR, running IRs and measuring their accuracy and speed."""
