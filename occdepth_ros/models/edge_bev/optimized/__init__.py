"""The bird's-eye-view architecture rearranged for inference; the results agree with `models/edge_bev/network.py`."""
