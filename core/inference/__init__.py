"""Running an exported detector in OpenVINO and measuring its accuracy and its speed."""
