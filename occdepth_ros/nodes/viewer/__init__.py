"""The node `viewer`: shows the topics of a running node in the viewer rerun."""
