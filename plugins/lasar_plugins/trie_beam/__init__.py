"""Exact beam search over the catalogue's trie, on a shared prefix."""
