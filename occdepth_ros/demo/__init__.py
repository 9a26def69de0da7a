"""The demo: replay and node as processes over DDS, a listener, and a report."""
