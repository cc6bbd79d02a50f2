"""A trained recommender as a folder that other engines read."""
