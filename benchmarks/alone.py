"""A run's stages in a process of their own: seconds of the processor, and peak memory.

Seconds are from a stage's start to its end; memory is the largest resident set of the process by then, torch
and all. Stages that were done before are found done.
"""

from __future__ import annotations

import multiprocessing
import resource
import time
from pathlib import Path
from typing import Any

import yaml

from lasar_kit.catalogue import Catalogue
from lasar_kit.hookspecs import hookimpl
from lasar_kit.run import runner
from lasar_kit.spec import load_spec

IMPORTED = [
    "lasar_kit.run.runner",
    "lasar_kit.report.observers",
    "lasar_kit.stages.tokenize.stage",
    "lasar_kit.stages.sft.stage",
    "lasar_kit.stages.evaluate.stage",
    "lasar_kit.stages.anchors.stage",
    "lasar_plugins.backbone.qwen3.backbone",
    "lasar_plugins.text_encoder.tfidf_svd.encoder",
    "lasar_plugins.quantizer.rq_kmeans.quantizer",
]
TOLD = {
    *("users", "items", "interactions", "samples", "prompts", "segments", "megabytes", "updates", "epochs"),
    *("relative_error", "relative_error_resolved"),
}
"""What is kept of a stage's report."""


class Clock:
    """Processor's seconds and peak memory of the stages that a process runs."""

    def __init__(self) -> None:
        self.stages: dict[str, dict[str, Any]] = {}
        self.began, self.logged = 0.0, list[tuple[int, float]]()

    @hookimpl(trylast=True)
    def lasar_stage_start(self) -> None:
        self.began = time.process_time()

    @hookimpl
    def lasar_step_end(self, step: int, metrics: Any) -> None:
        if "loss" in metrics:
            self.logged.append((step, time.process_time()))

    @hookimpl(tryfirst=True)
    def lasar_stage_end(self, stage: Any, report: Any) -> None:
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        seconds = round(time.process_time() - self.began, 2)
        told = {name: value for name, value in report.items() if name in TOLD}
        found = {"seconds": seconds, "megabytes": round(peak), "report": told}
        if len(self.logged) > 1:
            (first, then), (last, now) = self.logged[0], self.logged[-1]
            found["update_seconds"] = (now - then) / (last - first)
        self.stages[stage.name] = found


def run(folder: str, run_of: dict[str, Any], told: Any) -> None:
    """Run a spec in this process, and tell what its stages took."""
    file = Path(folder) / "scale.yaml"
    file.write_text(yaml.safe_dump(run_of, sort_keys=False))
    catalogue, clock = Catalogue.discover(), Clock()
    catalogue.load_hooks()
    catalogue.hooks.register(clock)
    output = Path(folder) / f"run_{run_of['dataset']['use']}"
    runner.run_spec(load_spec(file, [], catalogue), catalogue, output, True, tables=False)
    told.put(clock.stages)


def alone(folder: Path, run_of: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """The stages that a run had to run, in a process of its own; none where it did not get to its end."""
    # From a process that has imported everything and run nothing: polars does not outlive a fork.
    kind = multiprocessing.get_context("forkserver")
    kind.set_forkserver_preload(IMPORTED)
    told = kind.SimpleQueue()
    process = kind.Process(target=run, args=(str(folder), run_of, told))
    process.start()
    process.join()
    return told.get() if process.exitcode == 0 else {}
