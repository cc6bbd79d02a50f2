"""The stages that a hook may end."""

from __future__ import annotations

from collections.abc import Sequence

from lasar_kit.errors import UserError, nearest
from lasar_kit.hookspecs import Run


def check_stages(hook: str, stages: Sequence[str] | None, run: Run) -> None:
    """Hold the option `stages` against the run; `UserError` names the nearest of its stages."""
    unknown = [name for name in stages or () if name not in run.spec.stages]
    if unknown:
        raise UserError(
            *(f"hooks: {hook}: unknown stage {name!r}; {nearest(name, run.spec.stages)}" for name in unknown)
        )
