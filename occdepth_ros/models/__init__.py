"""Networks and their predictors, without ROS and without a training loop:

registry.py              the models by name, and their factories
predictor.py             the protocol that `Engine` uses
network_predictor.py     base class of the predictors of all networks
occdepth/                OccDepth and MonoScene; occdepth/optimized/: the same computation rearranged for inference
edge/                    occdepth-edge-sfa, sized for small computers
monoocc/                 MonoOcc, with the query proposals from a stereo pair (monoocc/proposals/)
stereo_geometry.py       the baseline without a network
comparison/              LMSCNet, AICNet and JS3C-Net, which exist for the comparison table only
mobilestereonet/, qpn/   networks for depth and for query proposals
layers/                  layers that several networks use

Shared steps of prediction: device.py (device, number format), memory.py (exhausted GPU memory, allocator), inference.py
(rewrites of a trained network), images.py (from the rig's image to the network's image), calibration_cache.py,
trained_height.py (grids above and below the trained one), readout.py (labels, confidence, visibility), timing.py, and
column_window.py (a part of a volume in training). Weights: weights.py, loading.py (safe reading of files),
unwrapping.py (entries and prefixes of checkpoints), recognition.py (which network tensors fit).
"""
