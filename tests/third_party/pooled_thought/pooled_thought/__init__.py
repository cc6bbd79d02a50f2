"""One thought made of all that the prompt has read (LatentR3)."""
