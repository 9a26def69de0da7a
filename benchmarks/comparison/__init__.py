"""The comparison of OccDepth's table 1 on one small budget, on the street world.

LMSCNet from stereo occupancy, MonoScene, MonoScene-stereo and OccDepth, each in a size that a CPU trains, see the same
generated scenes in the same order for the same number of steps; the blind prior and stereo-geometry stand beside them.
"""
