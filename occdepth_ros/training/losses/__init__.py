"""The losses of semantic scene completion, one idea a file; every one is finite for any target."""
