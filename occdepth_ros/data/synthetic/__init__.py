"""Random streets without end for training: stereo pairs, exact depth, classes and voxel ground truth.

World frame: x along the street at its begin, y left, z up, metres. Every solid is a convex polyhedron or an ellipsoid,
since the inverse depth of both is a closed formula of the pixel (see `raster`); the land is a height field (see
`ground`, `relief`), and ground truth is what LiDAR scans of a drive would tell (see `lidar`). `occdepth street` writes
scenes to disk (see `folder`); docs/street.jpg shows some: image, depth, classes, and the ground truth from above.
"""
