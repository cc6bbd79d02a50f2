"""A run's files on disk: artifacts, their keys, the run folder."""
