"""The demo: runs the replay and the node as processes over DDS, subscribes to all topics, and writes a report."""
