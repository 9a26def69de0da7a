"""Verbs on many drives, one process per drive."""
