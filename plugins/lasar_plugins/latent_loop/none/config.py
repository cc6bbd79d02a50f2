"""Options of the loop that does not think: none."""

from lasar_kit.spec import ComponentConfig


class NoLoopConfig(ComponentConfig):
    """No latent loop."""
