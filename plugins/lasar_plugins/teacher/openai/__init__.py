"""Reasoning text by a model behind an OpenAI-compatible chat endpoint."""
