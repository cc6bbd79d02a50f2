"""Searches over the catalogue's trie, on a shared prefix: beam search and sampling."""
