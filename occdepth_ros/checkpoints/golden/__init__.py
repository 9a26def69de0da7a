"""Verification of networks with golden files: outputs of the published code under stand-in weights."""
