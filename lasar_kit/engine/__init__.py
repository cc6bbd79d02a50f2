"""Runs a spec: stages, artifacts, training and evaluation."""
