"""Bad input by class, for benchmarks/fuzz.py and tests/fuzz."""
