"""Datasets and generated scenes."""
