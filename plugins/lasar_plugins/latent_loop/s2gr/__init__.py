"""A thought before each token of an answer."""
