"""Adds to each stage's report how long it took."""

import time
from collections.abc import Generator
from typing import Any

from lasar_kit.hookspecs import hookimpl
from lasar_kit.spec import PlannedStage


@hookimpl(wrapper=True)
def lasar_run_stage(
    run: Any, stage: PlannedStage, context: Any
) -> Generator[None, dict[str, Any], dict[str, Any]]:
    """Sees every stage from both sides."""
    started = time.perf_counter()
    report = yield
    return {**report, "letters_timed": stage.name, "letters_seconds": time.perf_counter() - started}
