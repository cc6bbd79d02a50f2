"""Tells what a run found: log, screen, tables, comparison, trackers."""
