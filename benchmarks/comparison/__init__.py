"""The comparison of OccDepth's table 1 with one small training budget on synthetic scenes.

All networks have a size that a CPU can train, and are trained on the same scenes in the same order for the same number
of steps; the blind prior and stereo-geometry are baselines.
"""
