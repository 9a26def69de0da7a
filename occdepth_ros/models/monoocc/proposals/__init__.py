"""Query proposals of completion networks such as MonoOcc and VoxFormer, from a stereo pair.

Depth of the left image becomes points (pseudo-LiDAR, Wang et al., CVPR 2019), points of several pairs become voxels,
and voxels of twice the edge become proposals, directly or by the query proposal network.
"""
