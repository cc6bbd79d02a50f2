"""All components that a value of options holds."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from pydantic import BaseModel

from lasar_kit.spec.component import ComponentConfig
from lasar_kit.spec.stage import StageConfig


def components(value: object) -> Iterator[ComponentConfig]:
    """Yield all component configs in a value, itself first."""
    if isinstance(value, ComponentConfig):
        yield value
    if isinstance(value, BaseModel):
        for name in type(value).model_fields:
            yield from components(getattr(value, name))
        if isinstance(value, StageConfig):
            yield from (part for config in value.implied for part in components(config))
    elif isinstance(value, Mapping):
        for part in value.values():
            yield from components(part)
    elif isinstance(value, list | tuple):
        for part in value:
            yield from components(part)
