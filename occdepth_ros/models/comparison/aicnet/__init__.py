"""AICNet (Li et al., CVPR 2020, arXiv 2004.02122): completion by convolutions whose reach every voxel chooses."""
