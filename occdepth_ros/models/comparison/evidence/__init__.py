"""What networks that complete a measured surface have in common: LMSCNet, AICNet, JS3C-Net from a stereo pair."""
