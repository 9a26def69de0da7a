"""OccDepth (Miao et al., arXiv 2302.13540): semantic occupancy from a stereo pair."""
