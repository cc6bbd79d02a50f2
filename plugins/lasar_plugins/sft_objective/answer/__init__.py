"""Cross-entropy of the next item."""
