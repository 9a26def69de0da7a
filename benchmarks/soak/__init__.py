"""`make soak`: reliability of the node under load, restarts, faults, generated messages, signals and transport."""
