"""What chance alone gives."""
