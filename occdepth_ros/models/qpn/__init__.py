"""The query proposal network (VoxFormer, Li et al., CVPR 2023, section 3.2; MonoOcc uses it unchanged)."""
