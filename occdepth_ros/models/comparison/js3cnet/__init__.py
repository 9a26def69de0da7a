"""JS3C-Net (Yan et al., AAAI 2021, arXiv 2012.03762): points named and voxels completed, learnt jointly."""
