"""What passes between components, and the interfaces they answer to."""
