"""JS3C-Net (Yan et al., AAAI 2021, arXiv 2012.03762): joint segmentation of points and completion of voxels."""
