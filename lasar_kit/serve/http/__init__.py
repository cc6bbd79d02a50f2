"""A run over HTTP: requests with constraints, gathered into batches."""
