"""Every thought predicts the next item, the last one the most sharply (ReaRec's progressive learning)."""
