"""The fused map of the node: its parameters, its topics and services, and its cost map."""
