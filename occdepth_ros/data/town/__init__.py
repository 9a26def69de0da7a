"""Random streets without end for training: stereo pairs, exact depth and voxel truth, several a second on two cores.

World frame: x along the street, y left, z up, metres; the carriageway is the plane z = 0. Every solid is a convex
polyhedron or an ellipsoid, since the inverse depth of both is a closed formula of the pixel (see `raster`).
"""
