"""Thoughts before the tokens of an answer, held to the clusters of the next item."""
