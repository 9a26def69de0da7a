"""TartanAir, with SemanticTartanAir's scene "office"."""
