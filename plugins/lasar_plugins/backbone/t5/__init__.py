"""T5: an encoder reads the history, a decoder spells the answer."""
