"""Stereo geometry without learning: the baseline and the fallback."""
