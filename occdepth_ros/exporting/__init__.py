"""Export of networks as ONNX files for one calibration, their verification, and a predictor that runs them."""
