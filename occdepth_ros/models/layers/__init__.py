"""Blocks of 3-D convolutions that several networks share."""
