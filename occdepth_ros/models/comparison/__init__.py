"""Networks of the comparison table that are not for users: LMSCNet, AICNet, JS3C-Net."""
