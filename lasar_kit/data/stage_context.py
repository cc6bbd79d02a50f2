"""A stage, and the context that it is given."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from lasar_kit.core.dataset import Dataset
from lasar_kit.core.values import Env
from lasar_kit.data import stored_dataset
from lasar_kit.data.sids import Sids

if TYPE_CHECKING:
    from lasar_kit.catalogue import Catalogue
    from lasar_kit.process.screen import Screen
    from lasar_kit.spec.run_spec import RunSpec


@dataclass(frozen=True)
class StageContext:
    """A stage's surroundings.

    `folder` is where it writes its artifact; `inputs` are the folders of the artifacts it reads, by type, and
    `origins` those of the artifacts that each of them was made from;
    `emit(step, metrics)` logs a step; on the main process it returns why a hook wants the stage to end, None
    where it may go on, and everywhere else None. `work` is a folder to make if wanted: it outlives a run that
    is cut off, and the next run of the same stage finds it and goes on from there; `log_again()` takes over
    the log that it puts into `folder`.
    """

    name: str
    spec: RunSpec
    folder: Path
    inputs: Mapping[str, Path]
    catalogue: Catalogue
    screen: Screen
    emit: Callable[[int, Mapping[str, float]], str | None]
    work: Path
    log_again: Callable[[], None] = lambda: None
    origins: Mapping[str, Mapping[str, Path]] = field(default_factory=dict)

    def dataset(self) -> Dataset:
        """The data set it reads, loaded once."""
        return self._dataset

    @cached_property
    def _dataset(self) -> Dataset:
        return stored_dataset.load(self.inputs["dataset"])

    def sids(self) -> Sids:
        """The semantic IDs it reads."""
        return Sids.load(self.inputs["sids"])

    def env(self, **values: Any) -> Env:
        """Surroundings for the components of a stage, seeded by the spec; each is given what its kind is."""
        if "dataset" in self.inputs:
            dataset = self.dataset()
            values = {"items": dataset.items, "train": dataset.train, **values}
        values = {"catalogue": self.catalogue, **values}
        return Env(seed=self.spec.seed, max_history=self.spec.max_history, **values)


class Stage(Protocol):
    """Built as `Stage(config, env)` like any component."""

    def run(self, context: StageContext) -> Mapping[str, Any]:
        """Write the artifact into `context.folder`; the report it returns is kept with it, as JSON."""
