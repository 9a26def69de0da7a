"""Weights files: safe reading, recognition of their network, and strict loading."""
