"""Data sets from RecBole's atomic files."""
