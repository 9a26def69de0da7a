"""Training: losses, tasks (what a family of networks learns from a scene), and the loop around them."""
