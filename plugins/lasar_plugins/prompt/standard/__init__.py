"""The text around a user's history."""
