"""Networks as ONNX files: writing them for one calibration, checking them, and running them behind the engine."""
