"""Item embeddings read from a file."""
