"""Options of the loop that does not think and of the depth policy that goes with it: none."""

from lasar_kit.spec import ComponentConfig


class NoLoopConfig(ComponentConfig):
    """No latent loop."""


class NoDepthConfig(ComponentConfig):
    """No thoughts to count."""
