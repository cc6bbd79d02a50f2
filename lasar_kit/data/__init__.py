"""Data that stages read: data set, semantic IDs, training samples, held-out items, anchors."""
