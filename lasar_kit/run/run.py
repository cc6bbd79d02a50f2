"""A run in progress."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from lasar_kit.process.screen import Screen
from lasar_kit.store.artifacts import Artifact

if TYPE_CHECKING:
    from lasar_kit.catalogue import Catalogue
    from lasar_kit.spec.run_spec import RunSpec


@dataclass
class Run:
    """A run in progress, as hooks see it; `writing` is the folder of the stage at work."""

    spec: RunSpec
    output: Path
    catalogue: Catalogue
    screen: Screen
    artifacts: dict[str, Artifact] = field(default_factory=dict)
    writing: Path = Path()
