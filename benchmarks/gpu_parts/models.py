"""Small models of every kind on any device, with what each stage learns from: the same on all devices."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Int
from torch import Tensor
from transformers import AutoConfig, AutoModelForCausalLM

from lasar_kit.catalogue import Catalogue
from lasar_kit.core.lesson import Lesson
from lasar_kit.core.values import Anchors, Env
from lasar_kit.data.sids import Sids
from lasar_kit.model.parts import Parts
from lasar_kit.model.recommender import Recommender
from lasar_kit.stages.rl.rollouts import RolloutMaker, Share
from lasar_kit.stages.rl.step import Group, RlStep
from lasar_kit.stages.sft.step import SftStep
from lasar_plugins.backbone.qwen3.scratch import train_tokenizer

ITEMS, SIZES, HISTORY = 200, (8, 8, 8), 8
BACKBONES: dict[str, dict[str, Any]] = {
    "qwen3": {
        "use": "qwen3",
        "hidden_size": 64,
        "layers": 2,
        "heads": 4,
        "kv_heads": 2,
        "initializer_std": 0.2,
        "text_vocabulary": 300,
    },
    "sasrec": {"use": "sasrec", "hidden_size": 64, "dropout": 0.0, "initializer_std": 0.2},
    "gru4rec": {"use": "gru4rec", "hidden_size": 64, "dropout": 0.0, "initializer_std": 0.2},
    "bert4rec": {
        "use": "bert4rec",
        "hidden_size": 64,
        "dropout": 0.0,
        "attention_dropout": 0.0,
        "initializer_std": 0.2,
    },
    "t5": {
        "use": "t5",
        "hidden_size": 64,
        "layers": 2,
        "heads": 4,
        "head_dim": 16,
        "intermediate_size": 96,
        "dropout": 0.0,
    },
    "hf_causal llama": {"use": "hf_causal", "pretrained": "llama"},
    "hf_causal gemma2": {"use": "hf_causal", "pretrained": "gemma2"},
}
ENCODER = {"use": "bsarec", "hidden_size": 64, "heads": 2, "dropout": 0.0, "initializer_std": 0.2}
"""Reads prompts of its own way, so that it is checked within a stage."""
ARCHITECTURES: dict[str, dict[str, Any]] = {
    "llama": {},
    "gemma2": {
        "head_dim": 16,
        "query_pre_attn_scalar": 16,
        "attn_logit_softcapping": 30.0,
        "final_logit_softcapping": 20.0,
        "sliding_window": 6,
        "layer_types": ["sliding_attention", "full_attention"],
    },
}


@cache
def catalogue() -> Catalogue:
    """All components."""
    return Catalogue.discover()


@cache
def sids() -> Sids:
    """Of a catalogue of random codes."""
    codes = torch.randint(0, SIZES[0], (ITEMS, len(SIZES)), generator=torch.Generator().manual_seed(1))
    return Sids(codes, SIZES)


@contextmanager
def folders() -> Iterator[dict[str, Path]]:
    """Folders of tiny models of transformers, for as long as they are needed."""
    with tempfile.TemporaryDirectory() as folder:
        made = {name: Path(folder) / name for name in ARCHITECTURES}
        tokenizer = train_tokenizer([], 300, 512)
        for name, options in ARCHITECTURES.items():
            sizes = {"hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 2}
            heads = {"num_attention_heads": 4, "num_key_value_heads": 2, "max_position_embeddings": 512}
            ids = {"pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2, "vocab_size": len(tokenizer)}
            config = AutoConfig.for_model(name, **sizes, **heads, **ids, **options)
            torch.manual_seed(0)
            model = AutoModelForCausalLM.from_config(config)
            for weight in model.parameters():
                torch.nn.init.normal_(weight, float(weight.detach().mean()), 0.2)
            model.save_pretrained(made[name])
            tokenizer.save_pretrained(made[name])
        yield made


def config(kind: str, name: str, **options: Any) -> Any:
    """Options of a component."""
    made = catalogue().config_class(kind, name)
    return made.model_validate({"use": name, **options}, context={"catalogue": catalogue()})


def backbone_config(name: str, where: dict[str, Path]) -> Any:
    """Of one of `BACKBONES`."""
    options = dict({**BACKBONES, "bsarec": ENCODER}[name])
    if "pretrained" in options:
        options["pretrained"] = str(where[options["pretrained"]])
    return config("backbone", options.pop("use"), **options)


class Alone:
    """What a rollout asks of accelerate, where there is one process."""

    num_processes = 1

    def __init__(self, device: str) -> None:
        self.device = torch.device(device)

    def reduce(self, value: Tensor, reduction: str) -> Tensor:
        return value


class World:
    """A recommender on a device, with lessons and the steps of all stages."""

    def __init__(self, device: str, backbone: Any, loop: str = "coconut", score: str = "vocabulary") -> None:
        self.device, self.score = device, score
        thinks = loop != "none"
        policy = config("depth_policy", "mlp", n_max=4) if thinks else config("depth_policy", "none")
        parts = Parts(backbone, config("prompt", "sid_only"), config("latent_loop", loop), policy, HISTORY)
        env = Env(seed=0, device=device, vocabulary=sids().vocabulary)
        decoder = config("decoder", "trie_beam", score=score)
        self.model = Recommender.build(catalogue(), parts, decoder, sids(), env).eval()
        self.env = Env(
            device=device,
            hidden_size=self.model.backbone.hidden_size,
            tokenizer=self.model.backbone.tokenizer,
            vocabulary=sids().vocabulary,
            table=self.model.prompts.table,
            head=self.model.backbone.logits,
        )

    def make(self, kind: str, name: str, **options: Any) -> Any:
        """A component on the device."""
        return catalogue().build(kind, config(kind, name, **options), self.env)

    def histories(self, rows: int = 12) -> list[Int[np.ndarray, " n"]]:
        """Of different lengths, the next item last."""
        rng = np.random.default_rng(3)
        return [rng.integers(0, ITEMS, size=rng.integers(3, HISTORY + 1)) for _ in range(rows)]

    def lesson(self, packed: bool, anchored: bool) -> Lesson:
        """What SFT or RL learns from."""
        rows, prompts = self.histories(), self.model.prompts
        if packed:
            lesson = prompts.packed(rows, transparent=self.model.latent_loop.transparent)
        else:
            lesson = prompts.answered([(row[:-1], int(row[-1])) for row in rows])
        if anchored:
            shape = lesson.prompts.tips.shape
            generator = torch.Generator().manual_seed(5)
            label = torch.randint(0, 4, shape, generator=generator) * lesson.prompts.mask
            states = torch.randn(*shape, 3, self.env.hidden_size, generator=generator)
            anchors = Anchors(states, torch.arange(3) < label[..., None])
            lesson = replace(lesson, anchors=anchors, depth=label, label=label)
        return lesson.to(self.device)

    def sft(self, objective: str = "answer") -> SftStep:
        """The step of SFT, thoughts with every term of the paper."""
        objectives = {"ce": self.make("sft_objective", objective)}
        if not self.model.latent_loop.transparent:
            aligner = {"use": "stepwise", "distance": "bikl"}
            objectives["align"] = self.make("sft_objective", "align", aligner=aligner)
            objectives["policy"] = self.make("sft_objective", "depth_label")
        return SftStep(self.model, self.score, objectives)

    def rl(self) -> RlStep:
        """The step of RL: GRPO, REINFORCE, terminal alignment."""
        objectives = {name: self.make("rl_objective", name) for name in ("grpo", "reinforce")}
        reference = self.model.frozen()
        with torch.no_grad():
            for weight in reference.parameters():
                weight.mul_(1.02)
        return RlStep(self.model, reference, objectives, self.make("aligner", "terminal"), self.score)

    def group(self) -> Group:
        """Candidates, rewards and depths that no model has chosen."""
        lesson = self.lesson(packed=False, anchored=True)
        rows, generator = len(lesson.targets), torch.Generator().manual_seed(7)
        items = torch.randint(0, ITEMS, (rows, 4), generator=generator)
        rewards = torch.rand(rows, 4, generator=generator)
        index = torch.arange(rows) % 4
        tensors = (items, rewards, index + 1, index, rewards.mean())
        return Group(lesson, *(tensor.to(self.device) for tensor in tensors))

    def rollout(self, decoder: str, **options: Any) -> Group:
        """Candidates that the model chooses."""
        searcher = self.make("decoder", decoder, score="trie", **options)
        searcher.bind(self.model.prompts.table)
        rewards = [(1.0, self.make("reward", name)) for name in ("rule", "ndcg", "prefix")]
        maker = RolloutMaker(self.model, searcher, rewards, 6, Alone(self.device), True, 0)  # type: ignore[arg-type]
        lesson = self.lesson(packed=False, anchored=False)
        target = torch.tensor([int(row[-1]) for row in self.histories()], device=self.device)
        history = torch.full((len(target), 1), -1, device=self.device)
        return maker.make(lesson, target, history, Share.of(0, len(target), 0, 1))
