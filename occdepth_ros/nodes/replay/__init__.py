"""The node `replay`: recorded stereo sequences as live topics."""
