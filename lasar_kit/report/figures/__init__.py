"""Figures of a report, drawn by matplotlib, each with the numbers that it shows."""
