"""Cross-entropy of the next item under the model and a memory of histories together."""
