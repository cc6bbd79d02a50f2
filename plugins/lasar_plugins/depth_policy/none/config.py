"""Options of the depth policy without a choice: none."""

from typing import ClassVar

from lasar_kit.spec import ComponentConfig


class NoDepthConfig(ComponentConfig):
    """No thoughts to count."""

    support: ClassVar[tuple[int, ...]] = (0,)
