"""The command `lasar-kit`."""
