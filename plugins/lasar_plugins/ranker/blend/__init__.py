"""Several rankers as one, by their probabilities."""
