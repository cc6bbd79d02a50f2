"""The model card of an exported folder."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from lasar_kit import __version__
from lasar_kit.core.capabilities import Mixes
from lasar_kit.errors import UserError
from lasar_kit.report.formats import markdown
from lasar_kit.report.table import metrics_grids, read_metrics
from lasar_kit.serve.export.plain import Plain
from lasar_kit.serve.recommend import LoadedRun
from lasar_kit.serve.stock import Stock
from lasar_kit.spec import DecoderConfig
from lasar_kit.spec.load import LoadedSpec

CARD = "README.md"
ASK = """
```python
import json
from pathlib import Path

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

folder = Path(".")  # this one
model = AutoModelForCausalLM.from_pretrained(folder).eval()
tokenizer = AutoTokenizer.from_pretrained(folder)
index, withdrawn, prompt = (
    json.loads((folder / f"{{name}}.json").read_text(encoding="utf-8"))
    for name in ("index", "withdrawn", "prompt")
)
known = {{**index, **withdrawn}}  # what histories may hold; what is listed is the index
spelled = {{item: tokenizer.convert_tokens_to_ids(tokens) for item, tokens in known.items()}}
items, follow = {{}}, {{}}
for item in index:
    items.setdefault(tuple(spelled[item]), []).append(item)
    for level, token in enumerate(spelled[item]):
        follow.setdefault(tuple(spelled[item][:level]), set()).add(token)

history = {history}  # raw ids, oldest first
ids = prompt["head"][:]
for number, item in enumerate(history[-prompt["max_history"] :]):
    ids += [*(prompt["separator"] if number else []), *spelled[item]]
ids += [*prompt["tail"], *prompt["between"]]
found = model.generate(
    torch.tensor([ids]),
    attention_mask=torch.ones(1, len(ids), dtype=torch.long),
    max_new_tokens=prompt["levels"],
    num_beams={width},
    num_return_sequences={width},
    length_penalty=0.0,
    renormalize_logits={renormalize},
    prefix_allowed_tokens_fn=lambda row, read: sorted(follow.get(tuple(read[len(ids) :].tolist()), [])),
    do_sample=False,
    return_dict_in_generate=True,
    output_scores=True,
)
for row, score in zip(found.sequences.tolist(), found.sequences_scores.tolist()):
    print(score, *items[tuple(row[len(ids) :])])
```
"""


@dataclass(frozen=True)
class Told:
    """What a card tells besides what the run itself says: how a plain model compares (None where there is
    none), what thoughts left out cost, whether there is a program, the catalogue that it has."""

    plain: Plain | None
    cost: Mapping[str, Mapping[str, float]]
    program: bool
    stock: Stock


def write_card(run: Path, loaded: LoadedSpec, model: LoadedRun, folder: Path, told: Told) -> None:
    """Write the card: what the model is, its metrics, data, protocol and seed, how it is asked, what is
    lost."""
    spec = loaded.spec
    front: dict[str, Any] = {"tags": ["generative-recommendation", "semantic-ids", "lasar-kit"]}
    if told.plain is not None:
        front |= {"library_name": "transformers", "pipeline_tag": "text-generation"}
    if base := spec.backbone.starts_from:
        front["base_model"] = Path(base).name if Path(base).is_absolute() else base
    parts = [
        f"---\n{yaml.safe_dump(front, sort_keys=False)}---",
        f"# {spec.name}",
        f"A generative recommender, trained by lasar-kit {__version__}: it reads a user's history as "
        "semantic IDs and spells the next item's.",
        *_sections(run, loaded, model, told),
    ]
    (folder / CARD).write_text("\n\n".join(parts) + "\n", encoding="utf-8")


def _sections(run: Path, loaded: LoadedSpec, model: LoadedRun, told: Told) -> Iterator[str]:
    spec, data = loaded.spec, model.dataset
    yield "## Metrics"
    try:
        yield markdown(metrics_grids(read_metrics(run))).strip() or "The run reports none."
    except UserError:
        yield "The run has no evaluate stage."
    yield "## Data, protocol, seed"
    yield "\n".join(
        [
            f"- data set `{spec.dataset.use}`: {len(data.users):,} users, {data.items.height:,} items, "
            f"{int(data.sequences.lengths.sum()):,} interactions",
            _listed(model, told.stock),
            f"- split: {'by time' if data.cuts is not None else 'leave-one-out'}; of a history the latest "
            f"{spec.max_history} items are read",
            *_evaluations(loaded),
            f"- search: `{spec.decoder.use}`, {spec.decoder.width} beams; the whole catalogue is ranked",
            f"- backbone `{spec.backbone.use}`, prompt `{spec.prompt.use}`, stages "
            f"{', '.join(f'`{stage.name}`' for stage in loaded.plan)}",
            f"- seed {spec.seed}; every option is in `spec.yaml`",
        ]
    )
    yield "## Files"
    yield _files(loaded, told)
    if told.plain is not None:
        yield "## Without the kit"
        yield from _plain(model, told, told.plain, spec.decoder)


def _listed(model: LoadedRun, stock: Stock) -> str:
    """What is in the folder's catalogue."""
    items, gone = stock.dataset.items.height, len(stock.withdrawn)
    if not gone and items == model.dataset.items.height:
        return f"- catalogue: the {items:,} items of training"
    came = items - model.dataset.items.height
    return (
        f"- catalogue: as it stood when this was written, {items - gone:,} items. {came:,} came after "
        f"training, {gone:,} were withdrawn. Numbers in this card are of the catalogue of training"
    )


def _evaluations(loaded: LoadedSpec) -> Iterator[str]:
    for name, config in loaded.spec.stages.items():
        if (out := config.leaves_out_history) is not None:
            yield f"- `{name}`: history {'left out of' if out else 'in'} the lists"


def _files(loaded: LoadedSpec, told: Told) -> str:
    rows = [
        ("`index.json`", "raw item id to the tokens of its semantic ID, in LC-Rec's form"),
        ("`withdrawn.json`", "the same of items that are listed no more, and may stand in histories"),
        ("`prompt.json`", "token ids around a history: `head`, `separator`, `tail`, `between`"),
        ("`catalogue/items.parquet`", "the item table; its row numbers are those of the trie"),
        ("`catalogue/trie.safetensors`", "the trie: children of node n of level m are nodes `first.m[n]` to "
         "`first.m[n + 1]` of the next, reached by `token.m`; leaf n is rows `items[items_first[n]:"
         "items_first[n + 1]]`"),
        ("`thinking/`", "what the kit needs besides: options, weights of latent loop and depth policy"),
    ]  # fmt: skip
    if told.plain is not None:
        weights = ("`config.json`, `model.safetensors`, `tokenizer.json`, …", "a plain causal language model")
        rows.insert(0, weights)
    else:
        loads_as = type(loaded.spec.backbone).loads_as
        known = f"for `{loads_as}`" if loads_as else "of a network that transformers does not know"
        rows.insert(0, ("`model.safetensors`", f"weights {known}"))
    if told.program:
        rows.append(
            (
                "`program/read.pt2`",
                "torch.export: (weights, inputs, seen, position, keys, values) to (states, logits, keys, "
                "values); with no keys it reads a prompt, with some it takes a step, its input a token's "
                "embedding or a thought's state",
            )
        )
    return "\n".join(["| | |", "|---|---|", *(f"| {name} | {what} |" for name, what in rows)])


def _plain(model: LoadedRun, told: Told, plain: Plain, decoder: DecoderConfig) -> Iterator[str]:
    """How a plain engine asks the model, and what it loses."""
    recommender = model.recommender
    if plain.between is None:
        yield (
            "transformers, vLLM and SGLang load this folder, but no plain text gives this model's answers: "
            f"the latent loop `{recommender.parts.latent_loop.use}` is in all of them, without thoughts too."
        )
        return
    yield (
        "transformers, vLLM and SGLang load this folder. Its answers are those of the run without thoughts "
        f"(log-probabilities of test users' items differ by {plain.apart:.1e} at most)."
    )
    yield "What is lost:"
    yield "\n".join(_lost(model, told))
    gone = set(told.stock.withdrawn.tolist())
    row = next(item for item, row in told.stock.row_of.items() if row not in gone)
    yield ASK.strip().format(history=[row], width=model.width, renormalize=decoder.renormalises)


def _lost(model: LoadedRun, told: Told) -> Iterator[str]:
    yield (
        "- The trie: an engine may spell semantic IDs that no item has, unless it allows only tokens that go "
        "on to one (as below, or by the arrays in `catalogue/`)."
    )
    if not model.recommender.latent_loop.transparent:
        depths = ", ".join(map(str, model.recommender.depth_policy.support))
        yield f"- The thoughts: the model was trained to take {depths} before it answers." + "".join(
            f" {name.capitalize()}: HR@10 {row['hr@10']:.4f}, NDCG@10 {row['ndcg@10']:.4f}."
            for name, row in told.cost.items()
        )
    if isinstance(model.recommender.decoder, Mixes):
        yield "- The prior that the decoder mixes in: a plain model answers without it."
