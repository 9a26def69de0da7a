"""Weights: safe and strict loading, and checks against golden outputs."""
