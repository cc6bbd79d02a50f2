"""Item embeddings by a sentence-transformers model."""
