"""What the node says about itself: diagnostics, supervision of the streams, times and load."""
