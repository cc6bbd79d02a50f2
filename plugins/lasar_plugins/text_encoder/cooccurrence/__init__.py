"""Collaborative item embeddings from co-occurrence in the training sequences."""
