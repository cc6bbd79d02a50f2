"""A whole run on two processes against one, and what happens when one of them fails."""

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lasar_kit.catalogue import Catalogue
from lasar_kit.core.values import Env
from lasar_kit.data.anchor_store import AnchorStore
from lasar_kit.run import runner
from lasar_kit.spec import load_spec
from tests.modules import Start

SPEC = """
name: lasar
dataset: {use: demo, users: 80, items: 60}
max_history: 8
backbone: {use: qwen3, hidden_size: 16, layers: 2, heads: 2, text_vocabulary: 300, embedding_dropout: 0}
prompt: sid_only
decoder: {use: trie_beam, width: 20, score: trie}
stages:
  tokenize: {use: tokenize, quantizer: {use: rq_kmeans, levels: 3, codes: 8}}
  ground:
    {use: sft, samples: packed, item_drop: 0.5, epochs: 2, batch_size: 36, text: {weight: 0.2, batch_size: 3},
     tasks: {text_to_sid: 0.3, sid_to_text: 0.3, batch_size: 3},
     eval_batch_size: 16, log_every: 1, optimizer: {lr: 3.0e-3}}
  anchors: {use: anchors, batch_tokens: 500, max_samples: 150}
  reason:
    {use: sft, latent_loop: coconut, depth_policy: {use: mlp, n_max: 4}, aligner: stepwise, epochs: 0.5,
     batch_size: 33, gradient_accumulation: 2, score: trie, eval_batch_size: 16, log_every: 1}
  rl:
    {use: rl, max_samples: 61, batch_size: 15, epochs: 1, eval_batch_size: 16, log_every: 1,
     optimizer: {lr: 1.0e-3, warmup: 0}}
  evaluate: {use: evaluate, batch_size: 16}
"""
LORA = "backbone: {use: qwen3, pretrained: base, lora: {rank: 2, alpha: 4}}"
READER = "use: anchors, reader: {use: hf_causal, pretrained: base},"
COMPARED = ("loss", "grad_norm", "reward", "baseline", "depth", "validation", "kl", "zero", "advantage_m")
FAULTY = """
import os
from lasar_kit.errors import UserError
from lasar_kit.hookspecs import hookimpl

@hookimpl
def lasar_run_stage(run, stage, context):
    if stage.name == "tokenize" and os.environ["RANK"] in os.environ["FAULTY"].split(","):
        raise UserError("stages.tokenize: one process has had enough")
"""
THREADS = """
import atexit
import os
from pathlib import Path

def tell() -> None:
    threads = Path("/proc/self/task").glob("*/comm")
    Path(os.environ["THREADS"], os.environ["RANK"]).write_text("".join(path.read_text() for path in threads))

if "RANK" in os.environ:
    atexit.register(tell)
"""


def plugin(folder: Path, name: str, module: str) -> Path:
    """A package of hooks in a folder of its own."""
    (folder / name).mkdir(parents=True)
    (folder / "registry.toml").write_text(f'[hooks]\nmodules = ["{name}"]\n')
    (folder / name / "__init__.py").write_text(module)
    return folder


@pytest.fixture(scope="module", params=["scratch", "lora"])
def runs(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The run on one process, and on two that accelerate starts; of all weights, and of adapters alone.

    Those of all weights are three interpreters that load everything themselves, as a user's are.
    """
    folder = tmp_path_factory.mktemp("runs")
    spec = folder / "lasar.yaml"
    spec.write_text(SPEC)
    catalogue = Catalogue.discover()
    loaded = load_spec(spec, (), catalogue)
    if request.param == "lora":
        text = Env(seed=1, corpus=lambda: ["soap and brush"])
        catalogue.build("backbone", loaded.spec.backbone, text).save(folder / "base")
        spec.write_text(re.sub("backbone: .*", LORA, SPEC).replace("use: anchors,", READER))
        loaded = load_spec(spec, (), catalogue)
    one, two = folder / "one" / "lasar", folder / "two" / "lasar"  # apart, so that none finds the other's
    runner.run_spec(loaded, catalogue, one, True)
    launch = ("accelerate.commands.launch", "--multi_gpu", "--num_processes", "2", "--num_machines", "1")
    options = ("--main_process_port", "0", "--mixed_precision", "no", "--dynamo_backend", "no")
    begin: Start = request.getfixturevalue("preloaded" if request.param == "lora" else "python")
    hooks = ("--plugin", plugin(folder / "plugin", "threads_at_the_end", THREADS))
    (folder / "threads").mkdir()
    command = ("-m", "lasar_kit", "run", spec, "--output", two, *hooks)
    found = begin(*launch, *options, *command, THREADS=str(folder / "threads"))
    assert found.returncode == 0, found.stderr
    assert found.stdout.count("results in") == 1
    return one, two


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_the_same_files_and_sids(runs: tuple[Path, Path]) -> None:
    one, two = ({str(path.relative_to(run)) for path in run.rglob("*")} for run in runs)
    assert one == two
    first, second = ((run / "stages/tokenize/codes.safetensors").read_bytes() for run in runs)
    assert first == second


def test_the_same_loss_curves(runs: tuple[Path, Path]) -> None:
    one, two = (lines(run / "log.jsonl") for run in runs)
    assert [(line["stage"], line["step"]) for line in one] == [(line["stage"], line["step"]) for line in two]
    compared = set()
    for ours, theirs in zip(one, two, strict=True):
        for name, value in ours.items():
            if name.startswith(COMPARED):
                assert theirs[name] == pytest.approx(value, abs=1e-5), (ours["stage"], ours["step"], name)
                compared.add((ours["stage"], name))
    for stage, *names in (
        (
            "ground",
            "loss_ce",
            "loss_text",
            "loss_text_to_sid",
            "loss_sid_to_text",
            "grad_norm",
            "validation_ndcg@10",
        ),
        ("reason", "loss_align", "loss_policy", "grad_norm"),
        (
            "rl",
            "loss_grpo",
            "loss_reinforce",
            "loss_align",
            "grad_norm",
            "baseline",
            "depth",
            "reward",
            "zero_variance",
            "advantage_min",
            "advantage_max",
        ),
    ):
        assert {(stage, name) for name in names} <= compared


def test_the_same_anchors(runs: tuple[Path, Path]) -> None:
    """Read by the model itself, and in the run with adapters by another model."""
    one, two = (AnchorStore.open(run / "stages/anchors") for run in runs)
    assert np.array_equal(one.offsets, two.offsets)
    np.testing.assert_allclose(one.states, two.states, atol=1e-2)


def test_the_batches_were_awkward(runs: tuple[Path, Path]) -> None:
    """Last batches of one sample leave the second process without any; some groups are left out of a loss."""
    log = lines(runs[0] / "log.jsonl")
    report = json.loads((runs[0] / "stages/ground/artifact.json").read_text())["report"]
    assert report["samples"] % 36 == 1
    assert json.loads((runs[0] / "stages/rl/artifact.json").read_text())["report"]["samples"] % 15 == 1
    assert any(0 < line["zero_variance"] < 1 for line in log if "zero_variance" in line)


def test_the_same_lists_for_every_user(runs: tuple[Path, Path]) -> None:
    one, two = (lines(run / "predictions.jsonl") for run in runs)
    assert len(one) == 80
    for ours, theirs in zip(one, two, strict=True):
        assert theirs["scores"] == pytest.approx(ours.pop("scores"), abs=1e-4)
        del theirs["scores"]
        assert ours == theirs
    assert (runs[0] / "metrics.json").read_text() == (runs[1] / "metrics.json").read_text()


@pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="threads are listed by Linux")
def test_no_thread_of_the_exchange_is_left_to_the_end(
    runs: tuple[Path, Path], request: pytest.FixtureRequest
) -> None:
    """One that still lets go of a tensor while the interpreter ends would abort a process that is done.

    Of those that end as interpreters do; a fork of one that has all loaded ends at once.
    """
    told = sorted((runs[1].parents[1] / "threads").iterdir())
    assert len(told) == (2 if request.node.callspec.params["runs"] == "scratch" else 0)
    for path in told:
        names = path.read_text().split()
        assert names
        assert not [name for name in names if "runloop" in name]


@pytest.mark.parametrize("faulty", ["1", "0,1"])
def test_a_mistake_on_any_process_ends_all(preloaded: Start, tmp_path: Path, faulty: str) -> None:
    """One line and exit code 2, though the other process waits for the one that failed."""
    (tmp_path / "lasar.yaml").write_text(SPEC)
    hooks = plugin(tmp_path / "plugin", "faulty", FAULTY)
    arguments = ["--processes", "2", "--plugin", hooks, "--output", tmp_path / "run"]
    found = preloaded("lasar_kit", "run", tmp_path / "lasar.yaml", *arguments, FAULTY=faulty)
    assert found.returncode == 2, found.stderr
    assert found.stderr.splitlines() == ["stages.tokenize: one process has had enough"]
    assert not (tmp_path / "run/stages/tokenize").exists()
