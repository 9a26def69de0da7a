"""OccDepth for inference: the same numbers as the plain network, rearranged for speed."""
