"""Options of the loop that does not think and of the depth policy that goes with it: none."""

from typing import ClassVar

from lasar_kit.spec import ComponentConfig


class NoLoopConfig(ComponentConfig):
    """No latent loop."""


class NoDepthConfig(ComponentConfig):
    """No thoughts to count."""

    support: ClassVar[tuple[int, ...]] = (0,)
