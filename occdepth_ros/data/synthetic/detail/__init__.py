"""Supersampled images with detailed surfaces, for the sample drive."""
