"""The node `replay`: publishes recorded stereo sequences as live topics."""
