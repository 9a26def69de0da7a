"""Random street scenes as solids on a ground."""
