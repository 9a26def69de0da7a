"""Folders of recorded stereo sequences: KITTI, KITTI-360, EuRoC, and plain folders with a calibration."""
