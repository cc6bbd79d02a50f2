"""The words that a loop is to write before the answer."""
