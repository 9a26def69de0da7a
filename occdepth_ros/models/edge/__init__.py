"""occdepth-edge-sfa: a small variant of OccDepth for onboard GPUs, with stereo matching as depth evidence."""
