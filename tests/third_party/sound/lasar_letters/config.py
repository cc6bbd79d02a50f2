"""Options of `letters`."""

from pydantic import Field

from lasar_kit.spec import ComponentConfig


class LettersConfig(ComponentConfig):
    """Counts of letters."""

    damping: float = Field(0.5, gt=0, le=1, description="Power that counts are raised to.")
