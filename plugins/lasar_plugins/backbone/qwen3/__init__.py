"""Qwen3 as a backbone: from scratch in any size, or pretrained."""
