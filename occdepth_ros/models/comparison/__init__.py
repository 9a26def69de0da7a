"""Networks of the comparison table only: LMSCNet, AICNet and JS3C-Net, each on the surface that stereo matching finds.

config.py, surface.py, scatter.py and predictors.py hold what they share. MonoScene, the fourth network of the table, is
a configuration of OccDepth: `occdepth_ros.models.occdepth.config.PRESETS`.
"""
