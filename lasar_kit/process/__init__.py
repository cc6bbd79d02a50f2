"""The process a run is: its place among others, signals, faults, the screen."""
