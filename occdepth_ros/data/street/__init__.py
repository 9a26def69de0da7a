"""Generated street scenes with exact depth and voxel ground truth.

World frame: x along the street, y left, z up, metres; the road's surface is z = 0.
"""
