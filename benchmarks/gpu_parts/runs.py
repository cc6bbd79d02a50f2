"""(b) Whole runs by the command line on a generated shop: do they end, do they repeat, do they go on."""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
import yaml

from gpu_parts.common import Bench
from lasar_kit.cli.main import main as lasar_kit
from lasar_kit.train.updater import Updater

SPEC: dict[str, Any] = {
    "name": "gpu",
    "dataset": {"use": "demo", "users": 400, "items": 200},
    "max_history": 10,
    "backbone": {
        "use": "qwen3",
        "hidden_size": 64,
        "layers": 2,
        "heads": 4,
        "kv_heads": 2,
        "text_vocabulary": 400,
        "embedding_dropout": 0.1,
    },
    "prompt": "sid_only",
    "decoder": {"use": "trie_beam", "width": 20, "score": "trie"},
    "stages": {
        "tokenize": {"use": "tokenize", "quantizer": {"use": "rq_kmeans", "levels": 3, "codes": 16}},
        "ground": {
            "use": "sft",
            "samples": "packed",
            "score": "trie",
            "epochs": 4,
            "text": {"weight": 0.2},
            "checkpoint_every": 2,
        },
        "anchors": {"use": "anchors", "max_samples": 400, "max_segments": 3},
        "reason": {
            "use": "sft",
            "latent_loop": "coconut",
            "depth_policy": {"use": "mlp", "n_max": 4},
            "aligner": "stepwise",
            "depth": "at_least_label",
            "score": "trie",
            "epochs": 1,
            "batch_size": 128,
            "checkpoint_every": 5,
        },
        "rl": {"use": "rl", "max_samples": 256, "batch_size": 64, "checkpoint_every": 2},
        "evaluate": {"use": "evaluate"},
    },
}
TINY = (
    "dataset.users=60",
    "stages.anchors.max_samples=60",
    "stages.rl.max_samples=64",
)
CUT = 3
"""Updates before the cut: one more than the first stage that trains has in its first checkpoint."""
STAGES = ("ground", "anchors", "reason", "rl", "evaluate")


class CutOff(BaseException):
    """Stands for the end of the process."""


def part(bench: Bench) -> None:
    """All runs, and which of them left the same bits."""
    left: dict[str, str] = {}

    def whole(name: str, *options: str, cut: bool = False) -> Callable[[], dict[str, Any]]:
        return lambda: one(bench, Path(folder) / name, options, left, cut)

    with tempfile.TemporaryDirectory() as folder:
        bench.attempt("plain", whole("plain"))
        precise, narrow = "--deterministic", [f"--set=stages.{stage}.precision=bf16" for stage in STAGES]
        bench.attempt("deterministic", whole("deterministic", precise), least=10)
        bench.attempt("cut off and begun again", whole("cut", precise, cut=True), least=10)
        bench.attempt("bf16", whole("bf16", *narrow), least=10)
        bench.attempt("plain again", whole("plain again"), least=10)
        bench.attempt("deterministic again", whole("deterministic again", precise), least=10)
    pairs = (
        ("plain", "plain again"),
        ("deterministic", "deterministic again"),
        ("deterministic", "cut"),
        ("plain", "deterministic"),
    )
    known = [(one, other) for one, other in pairs if one in left and other in left]
    equal = {f"{one} = {other}": left[one] == left[other] for one, other in known}
    # Without `--deterministic` kernels add in any order.
    exact = [same for pair, same in equal.items() if "plain" not in pair]
    bench.tell("same bits", passed=bool(exact) and all(exact), **equal)


def one(
    bench: Bench,
    home: Path,
    options: tuple[str, ...],
    left: dict[str, str],
    cut: bool,
) -> dict[str, Any]:
    """A run in a folder of its own, where nothing can be reused; if so asked cut off, and begun again."""
    home.mkdir()
    (home / "gpu.yaml").write_text(yaml.safe_dump(SPEC, sort_keys=False))
    output = home / "run"
    sizes = [f"--set={option}" for option in TINY] if bench.smoke else []
    arguments = ["run", str(home / "gpu.yaml"), "--output", str(output), *options, *sizes]
    try:
        if cut:
            with counted(most=CUT), contextlib.suppress(CutOff):
                said(arguments)
        with counted() as made:
            text = said(arguments)
    finally:
        torch.use_deterministic_algorithms(False)
    left[home.name] = digest(output)
    metrics = json.loads((output / "metrics.json").read_text())["evaluate"]
    seconds = {
        path.parent.name: json.loads(path.read_text())["seconds"]
        for path in sorted(output.glob("stages/*/artifact.json"))
    }
    found = {name: metrics[name] for name in ("ndcg@10", "mean_depth")}
    found |= {"random": metrics["baselines"]["random"]["ndcg@10"], "updates": made[0], "seconds": seconds}
    return {"passed": "goes on after update 2" in text, **found} if cut else found


def said(arguments: list[str]) -> str:
    """Run a command in this process; what it said, or what it ended with."""
    text = io.StringIO()
    with contextlib.redirect_stdout(text), contextlib.redirect_stderr(text):
        try:
            lasar_kit(arguments)
        except SystemExit as end:
            if end.code not in (None, 0):
                lines = " | ".join(text.getvalue().strip().splitlines()[-3:])
                raise RuntimeError(f"exit code {end.code}: {lines}") from None
    return text.getvalue()


@contextmanager
def counted(most: int | None = None) -> Iterator[list[int]]:
    """How many updates are made within; one more than `most` ends the run."""
    update, made = Updater.update, [0]

    def counts(self: Updater, *given: Any, **more: Any) -> Any:
        if made[0] == most:
            raise CutOff
        made[0] += 1
        return update(self, *given, **more)

    Updater.update = counts  # type: ignore[method-assign]
    try:
        yield made
    finally:
        Updater.update = update  # type: ignore[method-assign]


def digest(output: Path) -> str:
    """Of all weights and lists that a run left."""
    found = hashlib.sha256()
    for path in sorted([*output.rglob("*.safetensors"), *output.rglob("predictions.jsonl")]):
        found.update(str(path.relative_to(output)).encode() + path.read_bytes())
    return found.hexdigest()
