"""What a run leaves on disk: artifacts, their keys, the run folder."""
