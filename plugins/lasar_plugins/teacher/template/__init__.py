"""Reasoning text from fixed sentences; no model, no network."""
