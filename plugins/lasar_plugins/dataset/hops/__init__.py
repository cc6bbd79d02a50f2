"""A probe of adaptive depth: questions that take a known number of steps."""
