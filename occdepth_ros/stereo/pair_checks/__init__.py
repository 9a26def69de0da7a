"""Checks of stereo pairs before prediction: structure, matches, repeated or swapped images, equal rows."""
