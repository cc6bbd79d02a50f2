"""What is wrong with it is told by its name."""
