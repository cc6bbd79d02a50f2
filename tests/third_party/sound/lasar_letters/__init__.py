"""Items embedded by their letters, and a timer around stages."""
