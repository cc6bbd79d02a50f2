"""Quantizers: item embeddings to codes."""
