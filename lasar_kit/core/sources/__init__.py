"""Helpers that several data sources share: reading, filtering interactions, assembling a `Dataset`."""
