"""Several streams of thought beside each other, mixed by a gate."""
