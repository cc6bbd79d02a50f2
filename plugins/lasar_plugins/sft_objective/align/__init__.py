"""Holds thoughts to written reasoning."""
