"""Small networks, their exports, and the shipped weights, for tests."""
