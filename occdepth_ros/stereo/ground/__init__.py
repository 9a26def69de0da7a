"""The ground: plane and height field of one pair, and the pose of the camera above it over many pairs."""
