"""Calibration of a stereo rig: CameraInfo, lens distortion, rectification, and plausibility checks."""
