"""Training: losses, tasks (inputs, targets and losses of a network family), and the training loop."""
