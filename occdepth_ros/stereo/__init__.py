"""Stereo matching, ground, free space and input checks; the model `stereo-geometry`, which has no weights."""
