"""Images of a scene: first hits of rays, colours, light and the camera."""
