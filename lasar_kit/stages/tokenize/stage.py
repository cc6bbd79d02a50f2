"""Item text to semantic IDs (paper Eq. 1)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from accelerate import PartialState
from rich.markup import escape
from safetensors.torch import save_file
from torch import Tensor

from lasar_kit.core.capabilities import Remarks, embedder
from lasar_kit.core.values import Env
from lasar_kit.data.cold import Cold
from lasar_kit.data.sids import Sids, save_cold
from lasar_kit.data.stage_context import StageContext
from lasar_kit.process.world import is_main
from lasar_kit.stages.tokenize.collisions import resolve
from lasar_kit.stages.tokenize.config import TokenizeConfig
from lasar_kit.stages.tokenize.newcomers import ENCODER, QUANTIZER, Newcomers, Taken
from lasar_kit.stages.tokenize.quality import quantization_report, quantization_table
from lasar_kit.store.artifacts import write_json
from lasar_kit.train.start import item_vectors


class TokenizeStage:
    """Embeds the items, quantises the embeddings level by level, and sees that items do not share a SID."""

    def __init__(self, config: TokenizeConfig, env: Env) -> None:
        self.config = config

    def run(self, context: StageContext) -> Mapping[str, Any]:
        """Write the SIDs, the fitted quantizer and what the text encoder was fitted to; report how good they
        are."""
        dataset = context.dataset()
        item_ids = tuple(dataset.items["id"])
        device = str(PartialState().device)
        env = context.env(device=device, item_vectors=partial(item_vectors, context, device))
        embeddings, later = torch.zeros(len(dataset.items), 0), None
        if self.config.quantizer.reads_vectors:
            encoder = context.catalogue.build("text_encoder", self.config.text_encoder, env)
            embeddings = torch.from_numpy(encoder.encode(dataset.items, dataset.train))
            later = embedder(encoder)
            if is_main() and later is not None:
                _save_state(later.state_dict(), context.folder / ENCODER)
        if not is_main():  # fitting is not shared out, and the main process writes
            return {}
        with context.screen.reported(f"{context.name}: fitting") as tell:
            env = replace(env, report=tell)
            quantizer = context.catalogue.build("quantizer", self.config.quantizer, env)
            quantizer.fit(embeddings)
        raw = quantizer.encode(embeddings)
        codes, sizes, collisions = resolve(raw, embeddings, quantizer, self.config.collision)
        report = quantization_report(raw, embeddings, quantizer, codes, collisions)
        report |= quantizer.remarks if isinstance(quantizer, Remarks) else {}
        Sids(codes, sizes).save(context.folder, item_ids)
        _save_state(quantizer.state_dict(), context.folder / QUANTIZER)
        cold = Cold.load(context.inputs["dataset"])
        if cold is not None and later is not None and self.config.quantizer.encodes_later:
            newcomers = Newcomers(later, quantizer, self.config.collision, sizes)
            vectors, in_use = newcomers.embed(cold.items), Taken(codes.numpy())
            save_cold(newcomers.codes(cold.items["id"].to_list(), vectors, in_use), context.folder)
        write_json(context.folder / "report.json", report)
        context.screen.print(quantization_table(report))
        if "caution" in report:
            context.screen.print(f"[yellow]warning: {escape(report['caution'])}[/yellow]")
        return report


def _save_state(state: Mapping[str, Tensor], file: Path) -> None:
    save_file({name: value.contiguous() for name, value in state.items()}, file)
