"""Items that came behind the history's in the sequences of others."""
