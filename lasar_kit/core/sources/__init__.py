"""What several data sources share: reading files, filtering interactions, assembling a `Dataset`."""
