"""Compiled loops of the bird's-eye-view architecture, by stage; callers are the modules of the parent package."""
