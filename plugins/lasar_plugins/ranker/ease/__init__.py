"""A linear autoencoder over items, in closed form."""
