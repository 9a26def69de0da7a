"""Metrics, reports and images."""
