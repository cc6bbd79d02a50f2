"""A toolkit for latent-reasoning generative recommenders."""

__version__ = "0.1.0"
