"""Cutting a reasoning text into segments."""
