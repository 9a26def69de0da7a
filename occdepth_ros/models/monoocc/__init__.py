"""MonoOcc: completion from query proposals and deformable attention (Zheng et al., ICRA 2024, arXiv 2403.08766)."""
