"""Anchors: completions without a network, which every network has to beat.

Three rows: the blind prior, which looks at no image; stereo-geometry, which completes nothing; and gradient-boosted
trees on per-voxel features, which combine the two. All are fitted to given scenes and scored on others.
"""
