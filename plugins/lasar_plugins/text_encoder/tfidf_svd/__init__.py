"""Item embeddings from words alone: tf-idf and a truncated SVD."""
