"""The lifecycle node `stereo_occ`: predicts semantic occupancy from stereo images."""
