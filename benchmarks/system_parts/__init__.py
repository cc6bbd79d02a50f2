"""Parts of `systems.py`: which systems are run, what is stored of them, and tables."""
