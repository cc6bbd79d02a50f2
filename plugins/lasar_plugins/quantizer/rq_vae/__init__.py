"""A residual-quantised autoencoder, from scratch or begun at residual k-means."""
