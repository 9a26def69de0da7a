"""occdepth-edge-sfa: OccDepth's steps sized for an onboard GPU, with stereo matching as evidence of depth."""
