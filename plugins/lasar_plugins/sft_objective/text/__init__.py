"""Tasks with texts beside next items, and plain language modelling."""
