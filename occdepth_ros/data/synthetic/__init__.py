"""Synthetic street scenes: stereo pairs with exact depth, classes and voxel ground truth.

World frame: x along the beginning of the street, y left, z up, metres. All solids are convex polyhedra or ellipsoids,
whose inverse depth is a closed formula of the pixel (`rendering.raster`); the ground is a height field
(`scene.ground`).

- `dataset`: random training scenes by index, with ground truth as obtained from LiDAR scans (`labels.lidar`). `folder`
stores
  them, `occdepth synthetic` generates them. docs/synthetic.jpg shows examples.
- `drive`: the bundled sample, a drive of several frames along one street with moving traffic, in detailed
  images (`detail`) and with complete ground truth (`labels.complete`). `occdepth sample` writes it.
"""
