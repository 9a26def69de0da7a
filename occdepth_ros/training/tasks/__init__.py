"""Tasks by network family: inputs, targets and losses, and the options of a recipe."""
