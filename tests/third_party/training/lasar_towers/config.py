"""Options of the stage `towers`."""

from pydantic import Field

from lasar_kit.training import TrainingConfig


class TowersConfig(TrainingConfig):
    """Pretraining of histories against items, all other items being negatives."""

    temperature: float = Field(0.1, gt=0, description="Of the similarities, which are cosines.")
