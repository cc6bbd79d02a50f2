"""The parts of benchmarks/gpu.py, a module each with a function `part(bench)`."""
