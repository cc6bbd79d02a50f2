"""Options of the depth policy without a choice: none."""

from lasar_kit.spec import DepthPolicyConfig


class NoDepthConfig(DepthPolicyConfig):
    """No thoughts to count."""

    @property
    def support(self) -> tuple[int, ...]:
        """Depth 0 alone."""
        return (0,)
