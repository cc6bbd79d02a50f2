"""Latent loops."""
