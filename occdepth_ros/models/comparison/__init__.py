"""Networks of the comparison table only: LMSCNet, AICNet and JS3C-Net, on surfaces from stereo matching.

config.py, surface.py, scatter.py and predictors.py contain their common parts. MonoScene, the fourth network of the
table, is a configuration of OccDepth: `occdepth_ros.models.occdepth.config.PRESETS`.
"""
