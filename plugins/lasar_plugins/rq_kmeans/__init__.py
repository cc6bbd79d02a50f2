"""Residual k-means."""
