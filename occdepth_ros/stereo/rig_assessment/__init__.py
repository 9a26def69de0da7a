"""Measurements of a stereo rig from its images: rows, delay between the cameras, exposure."""
