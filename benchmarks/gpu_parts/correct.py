"""(a) What the CPU computes, the GPU computes: every backbone, every stage's step."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from gpu_parts.common import Bench
from gpu_parts.models import BACKBONES, ITEMS, World, backbone_config, catalogue, config, folders
from lasar_kit.core.values import Env
from lasar_kit.model.precision import autocast
from lasar_kit.spec.precision import Precision
from lasar_kit.stages.anchors.segment_states import read_chains
from lasar_plugins.quantizer.rq_vae.training import forward

TOLERANCE = {"fp32": 1e-4, "bf16": 0.08}
"""How far numbers may lie apart, relative to the largest; bf16 on the GPU against float32 on the CPU."""
GRADIENTS = {"fp32": 1e-3, "bf16": 0.25}
SAME_ITEMS = {"fp32": 0.99, "bf16": 0.0}
"""Share of ranked items that must be the same; near-ties may swap, and in bf16 all are near."""
Found = Mapping[str, Tensor]
TREE = ((-1, -1, 1, 2, 3, 4, 5, 6, 6, 7, 3, 8, 9, 9, 10), (7, 10, 15))
"""Parents of a pad, a chain and branches; and where calls end."""


def part(bench: Bench) -> None:
    """All checks, the most important first."""
    with folders() as where:
        for precision in TOLERANCE:
            for name in BACKBONES:
                bench.attempt(
                    f"backbone {name} {precision}", check_backbone(bench.device, name, where, precision)
                )
            for name in stages(where):
                bench.attempt(f"stage {name} {precision}", check_stage(bench.device, name, where, precision))


def check_backbone(
    device: str, name: str, where: dict[str, Path], precision: Precision
) -> Callable[[], dict[str, Any]]:
    """States, logits and gradients of a token tree, read with gradients and without."""

    def found(place: str, kind: Precision) -> dict[str, Tensor]:
        model = World(place, backbone_config(name, where), "none").model.backbone
        parents, cuts = TREE
        ids = torch.randint(
            3, len(model.tokenizer), (3, len(parents)), generator=torch.Generator().manual_seed(0)
        ).to(place)
        parent = torch.tensor(parents, device=place).expand(3, -1)

        def read() -> Tensor:
            states, context, begin = [], None, 0
            for end in cuts:
                inputs = model.embed(ids[:, begin:end])
                hidden, context = model.advance(inputs, parent[:, begin:end], context)
                states.append(hidden)
                begin = end
            return torch.cat(states, dim=1)

        with autocast(place, kind):
            with torch.no_grad():
                plain = model.logits(read())
            states = read()
            logits = model.logits(states)
        logits.float().log_softmax(-1)[..., 5].sum().backward()
        return {"logits": plain, "with gradients": logits, "states": states, **gradients(model)}

    return lambda: apart(found(device, precision), found("cpu", "fp32"), precision)


Work = Callable[[str, Precision], dict[str, Tensor]]
"""What is computed on a device in a precision."""


def stages(where: dict[str, Path]) -> dict[str, Work]:
    """What each stage computes."""
    return {
        "sft packed": partial(sft, where, "none", True, "vocabulary", "qwen3"),
        "sft packed trie": partial(sft, where, "none", True, "trie", "qwen3"),
        "sft sliding thinking": partial(sft, where, "coconut", False, "vocabulary", "qwen3"),
        "sft packed thinking": partial(sft, where, "coconut", True, "trie", "qwen3"),
        "sft sliding bsarec": partial(sft, where, "none", False, "vocabulary", "bsarec"),
        "sft sliding t5": partial(sft, where, "none", False, "vocabulary", "t5"),
        "sft cloze bert4rec": partial(sft, where, "none", False, "vocabulary", "bert4rec", objective="cloze"),
        "sft sliding rearec": partial(sft, where, "rearec", False, "vocabulary", "qwen3"),
        "sft sliding pause": partial(sft, where, "pause", False, "vocabulary", "qwen3"),
        "tokenize rq_vae": rq_vae,
        "rl step": partial(rl, where),
        "rollout trie_beam": partial(rollout, where, "trie_beam", {}),
        "rollout trie_sample": partial(rollout, where, "trie_sample", {}),
        "rollout trie_sample distinct": partial(rollout, where, "trie_sample", {"replacement": False}),
        "decode": partial(decode, where, "vocabulary"),
        "decode trie": partial(decode, where, "trie"),
        "anchors": partial(anchors, where),
    }


def world(
    place: str, where: dict[str, Path], loop: str = "coconut", score: str = "vocabulary", name: str = "qwen3"
) -> World:
    """A small model of a backbone."""
    return World(place, backbone_config(name, where), loop, score)


def sft(
    where: dict[str, Path],
    loop: str,
    packed: bool,
    score: str,
    name: str,
    place: str,
    kind: Precision,
    objective: str = "answer",
) -> dict[str, Tensor]:
    """Terms of the supervised loss, and their gradients."""
    here = world(place, where, loop, score, name)
    lesson = here.lesson(packed, anchored=loop != "none")
    with autocast(place, kind):
        sums = here.sft(objective)(lesson).sums
    torch.stack(list(sums.values())).sum().backward()
    return {**losses(sums), **gradients(here.model)}


def rq_vae(place: str, kind: Precision) -> dict[str, Tensor]:
    """Codes of a catalogue behind an update, and what the next one would be; in float32 always."""
    items = torch.randn(ITEMS, 32, generator=torch.Generator().manual_seed(2))
    options = config("quantizer", "rq_vae", levels=3, codes=8, hidden=[48], width=16, epochs=1)
    quantizer = catalogue().build("quantizer", options, Env(device=place))
    quantizer.fit(items)
    network = quantizer.network.requires_grad_(True)
    _, sums = forward(network, items.to(place), options)
    sums["loss"].backward()
    return {"items": quantizer.encode(items), **losses(sums), **gradients(network)}


def rl(where: dict[str, Path], place: str, kind: Precision) -> dict[str, Tensor]:
    """Terms of the RL loss, their gradients and the log-probabilities of candidates."""
    here = world(place, where)
    with autocast(place, kind):
        result = here.rl()(here.group())
    torch.stack(list(result.sums.values())).sum().backward()
    return {**losses(result.sums), "logp": result.rollout.logp, **gradients(here.model)}


def rollout(
    where: dict[str, Path], decoder: str, options: dict[str, Any], place: str, kind: Precision
) -> dict[str, Tensor]:
    """Candidates and depths."""
    here = world(place, where)
    with autocast(place, kind):
        group = here.rollout(decoder, width=6, **options)
    return {"items": group.items, "depth items": group.depth}


def decode(where: dict[str, Path], score: str, place: str, kind: Precision) -> dict[str, Tensor]:
    """Lists, their scores and depths."""
    here = world(place, where, score=score)
    prompts = here.model.prompts.prompts([row[:-1] for row in here.histories()])
    with autocast(place, kind):
        (beams,), depth, _ = here.model.recommend(prompts, 20)
    return {"items": beams.items, "logp": beams.logp, "depth items": depth}


def anchors(where: dict[str, Path], place: str, kind: Precision) -> dict[str, Tensor]:
    """States at the ends of segments."""
    here = world(place, where)
    rng = np.random.default_rng(1)
    chains = [(rng.integers(3, 250, size=n), np.array([n // 2, n - 1])) for n in (4, 9, 6, 7)]
    with autocast(place, kind):
        read = read_chains(here.model.backbone, chains, 24, torch.device(place))
    return {"states": torch.from_numpy(np.concatenate([states for _, states in sorted(read, key=first)]))}


def first(pair: tuple[int, Any]) -> int:
    """The number that a chain's states come with."""
    return pair[0]


def check_stage(
    device: str, name: str, where: dict[str, Path], precision: Precision
) -> Callable[[], dict[str, Any]]:
    """One of `stages` on the device and on the CPU."""
    work = stages(where)[name]
    return lambda: apart(work(device, precision), work("cpu", "fp32"), precision)


def losses(sums: Found) -> dict[str, Tensor]:
    """Of each term."""
    return {f"loss {name}": value for name, value in sums.items()}


def gradients(module: nn.Module) -> dict[str, Tensor]:
    """Of each weight that has one."""
    return {f"gradient {name}": p.grad for name, p in module.named_parameters() if p.grad is not None}


def apart(found: Found, expected: Found, precision: str) -> dict[str, Any]:
    """The largest gap of outputs and of gradients, the share of equal items, and whether that will do.

    A gap is relative to the largest number of its tensor, that of a loss or a gradient to the largest of all
    losses or gradients: some terms are differences of near numbers.
    """
    assert found.keys() == expected.keys(), (found.keys(), expected.keys())
    gaps, slopes, same = {"": 0.0}, {"": 0.0}, [1.0]
    scales: dict[str, float] = {}
    for key, value in expected.items():
        scales[_family(key)] = max(scales.get(_family(key), 1e-6), largest(value))
    for key, value in expected.items():
        ours, theirs = found[key].detach().cpu(), value.detach().cpu()
        assert ours.shape == theirs.shape, (key, ours.shape, theirs.shape)
        if not theirs.is_floating_point():
            same.append(float((ours == theirs).double().mean()))
            continue
        ours, theirs = ours.double(), theirs.double()
        kept = theirs.isfinite()
        gap = float((ours - theirs)[kept].abs().max()) if kept.any() else 0.0
        gap = gap if bool((ours.isfinite() == kept).all()) else math.inf
        kind = slopes if _family(key) == "gradient" else gaps
        kind[key] = gap / scales[_family(key)]
    worst, steep = max(gaps, key=gaps.__getitem__), max(slopes, key=slopes.__getitem__)
    passed = (
        gaps[worst] <= TOLERANCE[precision]
        and slopes[steep] <= GRADIENTS[precision]
        and min(same) >= SAME_ITEMS[precision]
    )
    told: dict[str, Any] = {"passed": passed, "gap": gaps[worst], "of": worst, "gradient_gap": slopes[steep]}
    return {**told, "of_gradient": steep, "same_items": min(same), "tensors": len(expected)}


def _family(name: str) -> str:
    """What a number is measured with."""
    first_word = name.split()[0]
    return first_word if first_word in ("gradient", "loss") else name


def largest(value: Tensor) -> float:
    """The largest finite number of a tensor."""
    finite = value.detach().double()[value.detach().isfinite()]
    return float(finite.abs().max()) if finite.numel() else 0.0
