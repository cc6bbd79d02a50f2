"""Hook implementations that a run calls: its own observers, and the hooks that its spec lists."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from types import MappingProxyType
from typing import TYPE_CHECKING

from lasar_kit.catalogue import hook_parts
from lasar_kit.core.values import Env
from lasar_kit.errors import UserError
from lasar_kit.process.world import is_main

if TYPE_CHECKING:
    from lasar_kit.catalogue import Catalogue
    from lasar_kit.hookspecs import Run
    from lasar_kit.spec.plan import PlannedStage
    from lasar_kit.spec.run_spec import RunSpec


@contextmanager
def attached(spec: RunSpec, catalogue: Catalogue, observers: Sequence[object]) -> Iterator[None]:
    """Have the hooks of the spec and the run's own observers called, within the context alone.

    Hooks hear of things behind the observers, in the order of the spec: the last that is registered is called
    first.
    """
    hooks = catalogue.hooks
    with ExitStack() as attached:
        for part in reversed(_listed(spec, catalogue)):
            if wrong := hook_parts.register(hooks, part):
                raise UserError(*(f"hooks: {type(part).__qualname__}: {line}" for line in wrong))
            attached.callback(hooks.unregister, part)
        for observer in observers:
            hooks.register(observer)
            attached.callback(hooks.unregister, observer)
        yield


def _listed(spec: RunSpec, catalogue: Catalogue) -> list[object]:
    """The hooks of a spec: all of them on the main process, elsewhere those that run stages."""
    return [
        catalogue.build("hook", config, Env(seed=spec.seed))
        for config in spec.hooks
        if is_main() or "lasar_run_stage" in catalogue.hooks_of(config)
    ]


def should_stop(run: Run, stage: PlannedStage, step: int, metrics: Mapping[str, float]) -> str | None:
    """Why a hook wants a stage to end, None where it may go on, as any stage may that is not `stoppable`."""
    if not type(stage.config).stoppable:
        return None
    ask = run.catalogue.hooks.hook.lasar_should_stop
    reason: object = ask(run=run, stage=stage, step=step, metrics=MappingProxyType(dict(metrics)))
    if reason is None or (isinstance(reason, str) and reason.strip()):
        return reason
    raise UserError(
        f"stages.{stage.name}: a hook's lasar_should_stop must return a reason, or None to go on "
        f"(got {reason!r})"
    )
