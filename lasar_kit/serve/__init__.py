"""A trained recommender, asked."""
