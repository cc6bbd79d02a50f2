"""(d) Users a second of the trie's beam search, against transformers' `generate` under the same trie."""

from __future__ import annotations

from functools import partial
from typing import Any

import torch
from decode import TrieProcessor, catalogue, generate, read
from torch import Tensor
from transformers import LogitsProcessorList

from gpu_parts.common import LARGE, SMALL, TEXT_TOKENS, TINY, Bench, backbone
from lasar_kit.core.values import Env, SidTable
from lasar_plugins.backbone.qwen3.backbone import Qwen3Backbone
from lasar_plugins.decoder.trie.config import TrieBeamConfig
from lasar_plugins.decoder.trie.decoder import TrieBeam

BATCHES = (8, 64, 256, 1)
PROMPT, WIDTH, ITEMS = 128, 50, 12_000


def part(bench: Bench) -> None:
    """Both models at all batch sizes, in bf16; the small one in float32 as well, where items must agree."""
    sizes = {"0.6B": (LARGE, TEXT_TOKENS), "small": (SMALL, 0)}
    if bench.smoke:
        sizes = {"tiny": (TINY, 0)}
    for name, (size, words) in sizes.items():
        for dtype in ("float32",) if bench.smoke else ("bfloat16",):
            model = backbone(bench, size, dtype, words=words).eval()
            searches = Searches(bench, model)
            for batch in (2,) if bench.smoke else BATCHES:
                bench.attempt(f"{name} {dtype} batch {batch}", partial(searches.ours, batch), least=2)
                bench.attempt(
                    f"{name} {dtype} batch {batch} generate", partial(searches.theirs, batch), least=4
                )
            del model, searches
    model = backbone(bench, TINY if bench.smoke else SMALL, "float32").eval()
    bench.attempt("same items", partial(Searches(bench, model).same, 2 if bench.smoke else 8), least=2)


class Searches:
    """One model, one catalogue, and both ways to search it."""

    def __init__(self, bench: Bench, model: Qwen3Backbone) -> None:
        self.bench, self.model = bench, model
        self.prompt, self.width, items = (6, 5, 200) if bench.smoke else (PROMPT, WIDTH, ITEMS)
        self.table = catalogue(model, items)
        self.decoders = {}
        for score in ("vocabulary", "trie"):
            decoder = TrieBeam(TrieBeamConfig(use="trie_beam", score=score), Env(device=bench.device))
            decoder.bind(SidTable(self.table))
            self.decoders[score] = decoder
        self.processor = LogitsProcessorList([TrieProcessor(self.table, self.prompt)])

    def ids(self, batch: int) -> Tensor:
        """Prompts of random text."""
        generator = torch.Generator().manual_seed(2)
        return torch.randint(3, 259, (batch, self.prompt), generator=generator).to(self.bench.device)

    @torch.inference_mode()
    def ours(self, batch: int) -> dict[str, Any]:
        """Prompts read, and searched with scores of the vocabulary and of the trie."""
        ids, model = self.ids(batch), self.model
        taken = {"prefill": self.bench.time(lambda: read(model, ids), seconds=1.0)}
        for score, decoder in self.decoders.items():
            taken[score] = self.bench.time(
                lambda made=decoder: made.search(model, read(model, ids), self.width), seconds=1.5
            )
        return {
            "users_per_second": batch / taken["vocabulary"],
            "users_per_second_trie": batch / taken["trie"],
            "ms": {name: 1000 * seconds for name, seconds in taken.items()},
            "over_prefill": taken["vocabulary"] / taken["prefill"],
        }

    @torch.inference_mode()
    def theirs(self, batch: int) -> dict[str, Any]:
        """`generate` with a trie as a table of transitions."""
        ids = self.ids(batch)
        work = partial(generate, self.model, ids, self.width, logits_processor=self.processor)
        seconds = self.bench.time(work, most=5, seconds=2.0, warm=1)
        return {"users_per_second": batch / seconds, "ms": 1000 * seconds}

    @torch.inference_mode()
    def same(self, batch: int) -> dict[str, Any]:
        """Whether both give the same items, and how far their scores lie apart."""
        ids = self.ids(batch)
        beams = self.decoders["vocabulary"].search(self.model, read(self.model, ids), self.width)
        sequences, scores = generate(self.model, ids, self.width, logits_processor=self.processor)
        equal = (self.table[beams.items[:, 0]] == sequences).all(-1).double().mean()
        gap = float((beams.logp[:, 0] - scores).abs().max())
        return {"passed": float(equal) > 0.99 and gap < 1e-3, "same_items": float(equal), "gap": gap}
