"""Optimised product quantization."""
