"""Self-distillation of written reasoning into thoughts."""
