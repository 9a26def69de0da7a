"""The lifecycle node `stereo_occ`: stereo images in, semantic occupancy out."""
