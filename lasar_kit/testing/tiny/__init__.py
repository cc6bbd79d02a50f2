"""Tiny doubles of every interface, so that one component is tested alone, in seconds, on a CPU.

None of them needs transformers, files or a network. All are built as `Tiny…(config, env)`, `config` unread.
"""

from __future__ import annotations

import copy
from functools import cache

import polars as pl
import torch

from lasar_kit.core.dataset import Sequences
from lasar_kit.core.samples import Window
from lasar_kit.core.values import Env, SidTable
from lasar_kit.core.vocabulary import LATENT_TOKENS, sid_tokens
from lasar_kit.testing.tiny.abilities import TinyHalter, TinyWriter
from lasar_kit.testing.tiny.backbone import WIDTH, CoarseBackbone, TinyBackbone, TinyTokenizer
from lasar_kit.testing.tiny.hooks import TinyHook
from lasar_kit.testing.tiny.items import TinyEncoder, TinyQuantizer, TinySource
from lasar_kit.testing.tiny.learning import TinyAligner, TinyObjective, TinyReward, TinySftObjective
from lasar_kit.testing.tiny.ranking import TinyRanker
from lasar_kit.testing.tiny.texts import TinyPrompt, TinySegmenter, TinyTeacher
from lasar_kit.testing.tiny.thinking import TinyDecoder, TinyLoop, TinyPolicy

__all__ = [
    "DOUBLES",
    "ITEM_IDS",
    "WIDTH",
    "TinyAligner",
    "TinyBackbone",
    "TinyDecoder",
    "TinyEncoder",
    "TinyHalter",
    "TinyHook",
    "TinyLoop",
    "TinyObjective",
    "TinyPolicy",
    "TinyPrompt",
    "TinyQuantizer",
    "TinyRanker",
    "TinyReward",
    "TinySegmenter",
    "TinySftObjective",
    "TinySource",
    "TinyTeacher",
    "TinyTokenizer",
    "TinyWriter",
    "environment",
]

ITEM_IDS = tuple(f"item-{item}" for item in range(8))
"""Raw ids of the catalogue that quantizers, text encoders and rankers are tried on, in its order."""

VOCABULARY = (*sid_tokens((4, 4)), *LATENT_TOKENS)
"""Tokens that a component under test is given."""

DOUBLES = {
    "quantizer": TinyQuantizer,
    "backbone": TinyBackbone,
    "latent_loop": TinyLoop,
    "depth_policy": TinyPolicy,
    "aligner": TinyAligner,
    "sft_objective": TinySftObjective,
    "rl_objective": TinyObjective,
    "decoder": TinyDecoder,
    "dataset": TinySource,
    "text_encoder": TinyEncoder,
    "prompt": TinyPrompt,
    "teacher": TinyTeacher,
    "segmenter": TinySegmenter,
    "reward": TinyReward,
    "ranker": TinyRanker,
    "hook": TinyHook,
}
"""The double of each interface."""


def environment() -> Env:
    """Return the surroundings that a component under test is built with."""
    return Env(
        hidden_size=WIDTH,
        vocabulary=VOCABULARY,
        corpus=lambda: ["shampoo for dry hair", "dry shampoo", "red nail polish"],
        items=_items().clone(),
        train=Sequences.of([[0, 1, 2, 3], [4, 5, 6], [7, 0, 2, 4, 6]]),
        max_history=4,
        table=SidTable(torch.tensor([[item // 4, 4 + item % 4] for item in range(len(ITEM_IDS))])),
        tokenizer=backbone().tokenizer,
        head=lambda hidden: backbone().logits(hidden.float()),
        frozen_head=lambda: lambda hidden: frozen().logits(hidden.float()),
        frozen=lambda: copy.deepcopy(frozen()),
        written=lambda teacher, rule, most: list(
            zip(
                (Window(0, 0, 2), Window(1, 0, 3), Window(2, 1, 4)),
                ("dry hair", "red hair", "hair"),
                strict=True,
            )
        ),
    )


@cache
def _items() -> pl.DataFrame:
    """Build the item table once: most examples ask for an environment or two."""
    return pl.DataFrame(
        {
            "id": ITEM_IDS,
            "title": [
                "dry hair",
                "red hair",
                "hair dry",
                "red",
                "dry red",
                "hair",
                "red dry hair",
                "dry",
            ],
            "brand": ["red", "dry"] * 4,
            "categories": ["Beauty, Hair", "Beauty, Nails"] * 4,
            "description": [""] * 8,
            "price": [""] * 8,
        }
    )


@cache
def backbone() -> TinyBackbone:
    """The tiny backbone that other components are tried on."""
    return TinyBackbone(None, _surroundings(4, 4)).eval()


@cache
def frozen() -> TinyBackbone:
    """The tiny backbone as it was built, whatever weights it is given since."""
    return TinyBackbone(None, _surroundings(4, 4)).eval()


@cache
def coarse_backbone() -> CoarseBackbone:
    """One of more tokens, of which many score alike."""
    return CoarseBackbone(None, _surroundings(30, 8)).eval()


def _surroundings(*sizes: int) -> Env:
    """Of a double, on the device that laws are tried on (`lasar_kit.testing.bench`)."""
    device = str(torch.empty(0).device)
    return Env(seed=11, device=device, hidden_size=WIDTH, vocabulary=(*sid_tokens(sizes), *LATENT_TOKENS))
