"""Voxel ground truth of a scene."""
