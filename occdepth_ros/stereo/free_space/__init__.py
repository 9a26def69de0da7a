"""Free space along rays, and its removal where no unambiguous match supports it."""
