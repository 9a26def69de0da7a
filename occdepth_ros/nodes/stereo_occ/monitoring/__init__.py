"""Monitoring of the node: diagnostics, supervision of the streams, processing times and load."""
