"""OccDepth for inference: the computation of the reference network, rearranged for speed."""
