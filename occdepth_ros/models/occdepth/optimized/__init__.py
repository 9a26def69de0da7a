"""OccDepth for inference: the computation of the reference network, reordered for speed."""
