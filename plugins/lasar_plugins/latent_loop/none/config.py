"""Options of the loop that does not think: none."""

from lasar_kit.spec import LatentLoopConfig


class NoLoopConfig(LatentLoopConfig):
    """No latent loop."""
