"""Options of the tables and figures that are made of a suite."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field
from pydantic_core import PydanticCustomError

from lasar_kit.errors import nearest
from lasar_kit.spec.component import SpecModel

Metric = Literal["hr@5", "hr@10", "hr@20", "ndcg@5", "ndcg@10", "ndcg@20"]


class _Of(SpecModel):
    """What all of them have."""

    name: str | None = Field(
        None,
        pattern=r"[A-Za-z0-9_-]+",
        description="Of its files; that of the suite, and a letter, when absent.",
    )
    caption: str = Field("", description="What it shows.")
    rows: tuple[str, ...] = Field((), description="The rows that it is of; all when absent.")


class TableOf(_Of):
    """Metrics, a row a row of the suite."""

    use: Literal["table"]
    metrics: tuple[Metric, ...] = Field(
        ("ndcg@5", "ndcg@10", "ndcg@20", "hr@5", "hr@10", "hr@20"), min_length=1, description="In order."
    )
    depth: bool = Field(False, description="Whether mean N has a column.")
    change: Literal["first", "above"] | None = Field(
        None, description="A column of the relative change of the first metric of `of`, and against what."
    )
    of: Metric = Field("ndcg@10", description="The metric of the column `change`.")


class TimesOf(_Of):
    """Time to rank for a user, all models in turn on one machine."""

    use: Literal["times"]
    batch_size: int = Field(32, ge=1, description="Users at once.")
    users: int = Field(128, ge=1, description="Users of the test part that are ranked for.")


class SegmentsOf(_Of):
    """Segments of a teacher's texts, by how long histories are and how many categories they hold."""

    use: Literal["segments"]
    printed: dict[str, dict[str, tuple[float, float, float]]] = Field(
        {}, description="A paper's share, length and categories, by data set and number of segments."
    )


class CurvesOf(_Of):
    """A number that a training stage logs, a line a row."""

    use: Literal["curves"]
    stage: str = Field(description="The training stage.")
    key: str = Field("validation_loss", description="What it logs.")
    axis: str = Field("", description="What the axis says, with the unit; the key when absent.")


class BarsOf(_Of):
    """A metric, a bar a row."""

    use: Literal["bars"]
    metric: Metric = Field("hr@10", description="Which.")


class DepthsOf(_Of):
    """Share of users by the number of thoughts that they got, bars for each row."""

    use: Literal["depths"]


class DynamicsOf(_Of):
    """Mean N and reward of each update of a stage of RL; of one row."""

    use: Literal["dynamics"]
    stage: str = Field("rl", description="The stage.")


class ByDepthOf(_Of):
    """A metric by the number of thoughts that users got; of one row."""

    use: Literal["by_depth"]
    metric: Metric = Field("hr@10", description="Which.")


KINDS: Mapping[str, type[_Of]] = {
    "table": TableOf,
    "times": TimesOf,
    "segments": SegmentsOf,
    "curves": CurvesOf,
    "bars": BarsOf,
    "depths": DepthsOf,
    "dynamics": DynamicsOf,
    "by_depth": ByDepthOf,
}


def _of_kind(value: object) -> object:
    """The options of the kind that `use` names."""
    if not isinstance(value, Mapping):
        return value
    use = value.get("use")
    if use is None:
        raise PydanticCustomError("raised", "use: is missing; {valid}", {"valid": nearest("", KINDS)})
    if use not in KINDS:
        raise ValueError(f"use: is no kind of table or figure (got {use!r}); {nearest(str(use), KINDS)}")
    return KINDS[str(use)].model_validate(value)


Show = Annotated[
    TableOf | TimesOf | SegmentsOf | CurvesOf | BarsOf | DepthsOf | DynamicsOf | ByDepthOf,
    BeforeValidator(_of_kind),
]
