"""AICNet (Li et al., CVPR 2020, arXiv 2004.02122): completion by convolutions with an anisotropic receptive field per
voxel."""
