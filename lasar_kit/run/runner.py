"""Runs the stages of a spec in order, each once: what has not changed is taken from an earlier run."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.markup import escape

from lasar_kit.catalogue.raised import plugins_told
from lasar_kit.errors import UserError
from lasar_kit.hookspecs import Run, hookimpl
from lasar_kit.process import faults, footprint
from lasar_kit.process.environment import check_environment
from lasar_kit.process.matmul import choose_kernels
from lasar_kit.process.screen import Screen, Whole, quiet_libraries
from lasar_kit.process.world import from_main, is_main, size, wait_for_all
from lasar_kit.run import results
from lasar_kit.run.estimates import Estimates
from lasar_kit.run.hooks import attached, should_stop
from lasar_kit.spec.plan import PlannedStage, plan
from lasar_kit.spec.run_spec import DATASET
from lasar_kit.store import fingerprints
from lasar_kit.store.artifacts import Artifact, ArtifactStore, sha256, write_text
from lasar_kit.store.contents import Contents
from lasar_kit.store.layout import LOCK
from lasar_kit.store.run_folder import alone_in

if TYPE_CHECKING:
    from lasar_kit.catalogue import Catalogue
    from lasar_kit.core.interfaces import DataSource
    from lasar_kit.data.stage_context import StageContext
    from lasar_kit.spec.load import LoadedSpec
    from lasar_kit.spec.run_spec import RunSpec


@dataclass(frozen=True)
class Step:
    """A stage, and the key of its artifact."""

    stage: PlannedStage
    key: str


class BuiltinStages:
    """Runs a stage by its own code, when no plugin does."""

    @hookimpl(trylast=True)
    def lasar_run_stage(self, run: Run, stage: PlannedStage, context: Any) -> Any:
        if stage.name == DATASET:
            return _load_dataset(run, context.folder)
        return run.catalogue.build("stage", stage.config, context.env()).run(context)


def run_spec(
    loaded: LoadedSpec,
    catalogue: Catalogue,
    output: Path,
    use_cache: bool,
    tables: bool = True,
    label: str = "run",
) -> None:
    """Run all stages, and show `tables`; leaves `spec.lock.yaml`, `metrics.json`, `predictions.jsonl`,
    `log.jsonl`, `model/` and `stages/<name>/` in `output`. With `use_cache`, what is finished is reused, and
    a stage that was cut off goes on. The bar over all stages is called `label`.

    On several processes all call this, with a file system in common. The main one looks for artifacts and
    writes; only it calls observers. `UserError` where another run is at work in `output`, or the environment
    would have a say in the results.
    """
    check_environment()
    choose_kernels()
    lock = alone_in(output) if is_main() else nullcontext()
    with faults.disk("run", output), lock, plugins_told(catalogue):
        _run_all(loaded, catalogue, output, use_cache, tables, label)


def _run_all(
    loaded: LoadedSpec, catalogue: Catalogue, output: Path, use_cache: bool, tables: bool, label: str
) -> None:
    catalogue.load_hooks()
    quiet_libraries()
    main = is_main()
    run = Run(loaded.spec, output, catalogue, Screen(silent=not main))
    store, contents = store_of(output, run.screen), contents_of(output, run.screen)
    steps = from_main(lambda: list(steps_of(loaded, catalogue, contents.of)))
    if main and run.screen.shows_bars:
        todo = [step for step in steps if not (use_cache and store.has(step.key))]
        took = Estimates(output).shares([step.stage for step in todo], loaded.spec)
        run.screen.whole = Whole(label, [took.get(step.stage.name, 0.0) for step in steps])
    hooks = catalogue.hooks.hook
    if main:
        contents.save()
        results.forget(output, [(step.stage, step.key) for step in steps] if use_cache else [])
    observers = _observers(loaded, output, tables) if main else ()
    with attached(loaded.spec, catalogue, [BuiltinStages(), *observers]):
        if main:
            hooks.lasar_run_start(run=run)
        for number, step in enumerate(steps):
            store.wanted = frozenset(later.key for later in steps[number + 1 :])
            reused = from_main(partial(_reuse, run, step, store)) if use_cache else None
            if run.screen.whole is not None:
                run.screen.whole.stage = number
            run.artifacts[step.stage.name] = reused or _run_stage(run, step, store, use_cache)
        if main:
            store.tidy()
            hooks.lasar_run_end(run=run, metrics=results.collect(run, [step.stage for step in steps]))


def _observers(loaded: LoadedSpec, output: Path, tables: bool) -> list[object]:
    """Return what writes and shows the run, on the main process alone."""
    from lasar_kit.report.observers import JsonLog, Narrator
    from lasar_kit.report.tracking import Tracking

    trackers = Tracking.of(loaded, output)
    write_text(output / LOCK, loaded.dump())
    return [JsonLog(output), Narrator(tables), *trackers]


def store_of(output: Path, screen: Screen) -> ArtifactStore:
    """The artifacts of a run, which tell the screen of those that are damaged."""
    return ArtifactStore(output, lambda line: screen.print(f"[yellow]{escape(line)}[/yellow]"))


def contents_of(output: Path, screen: Screen) -> Contents:
    """What a run's files hold; the screen is told of those that take a while to read."""
    return Contents(output, lambda line: screen.print(f"[dim]{escape(line)}[/dim]"))


def _reuse(run: Run, step: Step, store: ArtifactStore) -> Artifact | None:
    """The artifact that there already is by now, as this run's own."""
    name = step.stage.name
    adopted = store.adopt(name, step.key)
    if adopted is None:
        return None
    artifact, origin = adopted
    where = "unchanged" if origin == artifact.path else f"from {escape(str(origin))}"
    run.screen.print(f"[bold]{name}[/bold] [dim]reused, {where}[/dim]")
    if name == DATASET:
        from lasar_kit.data import described

        described.show_warnings(described.load(artifact.path), run.screen)
    from lasar_kit.report.observers import log_again

    log_again(run.output, artifact.path)
    return artifact


def steps_of(
    loaded: LoadedSpec, catalogue: Catalogue, digest: fingerprints.Digest = sha256
) -> Iterator[Step]:
    """The data set and all stages, each with its key, in which files are as `digest` tells them."""
    from lasar_kit.spec import StageConfig

    spec = loaded.spec
    catalogue.load_hooks()
    files = _source(spec, catalogue).files()
    missing = [f"dataset: {path} does not exist" for path in files if not path.exists()]
    if missing:
        raise UserError(*missing)
    keys = {DATASET: fingerprints.dataset_key(spec, files, catalogue, digest)}
    yield Step(PlannedStage(DATASET, StageConfig(use=spec.dataset.use), {}), keys[DATASET])
    for stage in loaded.plan:
        inputs = {kind: keys[source] for kind, source in stage.inputs.items()}
        keys[stage.name] = key = fingerprints.stage_key(stage, spec, inputs, catalogue, digest)
        yield Step(stage, key)


def _source(spec: RunSpec, catalogue: Catalogue) -> DataSource:
    from lasar_kit.core.values import Env

    source: DataSource = catalogue.build("dataset", spec.dataset, Env(seed=spec.seed))
    return source


def _load_dataset(run: Run, folder: Path) -> dict[str, int]:
    from lasar_kit.data import described, stored_dataset
    from lasar_kit.data.cold import hold_out

    dataset = _source(run.spec, run.catalogue).load()
    if not len(dataset.users):
        raise UserError("dataset: no user has the three items that leave-one-out needs")
    if run.spec.holds_out is not None:
        dataset, cold = hold_out(dataset, run.spec.holds_out, run.spec.seed)
        cold.save(folder)
    stored_dataset.save(dataset, folder)
    facts = described.described(dataset, run.spec.dataset)
    described.save(facts, folder)
    described.show(facts, run.screen)
    return {name: facts[name] for name in ("users", "items", "interactions")}


def _run_stage(run: Run, step: Step, store: ArtifactStore, use_cache: bool) -> Artifact:
    """Run one stage into a folder of its own, which becomes its artifact when all is written.

    A stage that is not `sharded` runs on the main process, while the others wait.
    """
    stage, hooks, main = step.stage, run.catalogue.hooks.hook, is_main()
    started = time.monotonic()
    footprint.reset_peaks()
    if main:
        hooks.lasar_stage_start(run=run, stage=stage)
    with store.writing(stage.name) if main else nullcontext(Path()) as folder:
        run.writing = from_main(lambda: folder)
        work = from_main(lambda: store.work(stage.name, step.key, fresh=not use_cache))
        report: Any = None
        if main or type(stage.config).sharded:
            context = _context(run, stage, work)
            place, advice = _advice(stage)
            with faults.memory(place, advice), faults.disk(place, run.output):
                report = hooks.lasar_run_stage(run=run, stage=stage, context=context)
        wait_for_all()
        produces = type(stage.config).produces or DATASET
        seconds = time.monotonic() - started
        artifact = from_main(
            lambda: store.finish(
                folder, stage.name, produces, step.key, report, seconds, footprint.made_with(size())
            )
        )
    if main:
        hooks.lasar_stage_end(run=run, stage=stage, report=report)
    return artifact


def _advice(stage: PlannedStage) -> tuple[str, str]:
    """Where memory runs out, and the options that help."""
    options = [name for name in ("batch_size", "batch_tokens") if hasattr(stage.config, name)]
    place = DATASET if stage.name == DATASET else f"stages.{stage.name}"
    lower = [f"lower {place}.{name} (now {getattr(stage.config, name)})" for name in options]
    return place, " or ".join(lower) or "use a machine with more"


def _context(run: Run, stage: PlannedStage, work: Path) -> StageContext:
    from lasar_kit.data.stage_context import StageContext

    planned = {made.name: made for made in plan(run.spec)}

    def folders(name: str) -> dict[str, Path]:
        inputs = planned[name].inputs if name in planned else {}
        return {kind: run.artifacts[source].path for kind, source in inputs.items()}

    return StageContext(
        name=stage.name,
        spec=run.spec,
        folder=run.writing,
        inputs=folders(stage.name),
        origins={kind: folders(source) for kind, source in stage.inputs.items()},
        catalogue=run.catalogue,
        screen=run.screen,
        emit=partial(_emit, run, stage),
        work=work,
        log_again=partial(_log_again, run, stage),
    )


def _emit(run: Run, stage: PlannedStage, step: int, metrics: Mapping[str, float]) -> str | None:
    if not is_main():
        return None
    run.catalogue.hooks.hook.lasar_step_end(run=run, stage=stage, step=step, metrics=metrics)
    return should_stop(run, stage, step, metrics)


def _log_again(run: Run, stage: PlannedStage) -> None:
    """Take over the log of a stage that goes on, and let the hooks that may end it hear it once more."""
    from lasar_kit.report.observers import log_again, read_log

    log_again(run.output, run.writing)
    for step, metrics in read_log(run.writing):
        should_stop(run, stage, step, metrics)
