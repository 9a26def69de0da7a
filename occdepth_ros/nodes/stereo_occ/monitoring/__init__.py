"""Monitoring of the node: supervision of the streams, processing times and load."""
