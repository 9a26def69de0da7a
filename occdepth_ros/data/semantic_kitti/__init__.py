"""SemanticKITTI: its official layout, scenes, check of a download, and submissions."""
