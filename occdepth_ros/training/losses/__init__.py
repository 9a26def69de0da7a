"""Losses of semantic scene completion; every loss is finite for any target."""
