"""Networks and their predictors, without ROS and without a training loop.

registry.py              the models by name, and their factories
predictor.py             the protocol that `Engine` uses
network_predictor.py     base class of the predictors of all networks
occdepth/                OccDepth and MonoScene; occdepth/optimized/: the same computation rearranged for inference
edge_bev/                occdepth-edge and occdepth-edge-kitti, with edge_bev/optimized/ for inference
edge/                    occdepth-edge-sfa, a small variant of OccDepth
monoocc/                 MonoOcc, with the query proposals from a stereo pair (monoocc/proposals/)
stereo_geometry.py       the baseline without a network
comparison/              LMSCNet, AICNet and JS3C-Net, which exist for the comparison table only
mobilestereonet/, qpn/   networks for depth and for query proposals
layers/                  layers that several networks use
loading/                 weights files: safe reading, recognition of their network, strict loading
runtime/                 device, number format, memory, threads, stage times, tables by calibration

Shared steps of prediction: images.py (from the rig's image to the network's image), trained_height.py (grids above and
below the trained one), readout.py (labels, confidence, visibility) and free_space.py (limits of free space for every
model). column_window.py selects a part of a volume in training.
"""
