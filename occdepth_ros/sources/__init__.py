"""Recorded stereo sequences for replay."""
