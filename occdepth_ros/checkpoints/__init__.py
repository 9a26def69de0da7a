"""Weights: golden verification, safe loading, and key maps."""
