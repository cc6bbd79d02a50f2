"""Codes that hold the item itself."""
