"""Runs the stages of a spec."""
