"""Anchors: completion baselines without a network.

There are three rows: the blind prior, which uses no image; stereo-geometry, which completes nothing; and
gradient-boosted trees on voxel features, which combine the two. They are fitted to training scenes and scored on
other scenes.
"""
