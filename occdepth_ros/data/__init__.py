"""Data sets for training and evaluation, and generated scenes."""
