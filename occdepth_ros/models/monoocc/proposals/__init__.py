"""Query proposals: where completion networks such as MonoOcc and VoxFormer begin, from a stereo pair.

Depth of the left image becomes points (pseudo-LiDAR, Wang et al., CVPR 2019), points of a few sweeps become voxels,
and voxels of twice the edge become proposals, directly or by the query proposal network.
"""
