"""The fused map of the node: its topics and services, and its cost map."""
