"""All that is claimed of speed in one table: work, peer, ratio and limit, from what benchmarks/results holds.

python benchmarks/speed.py    # prints the table of docs/speed.md

Nothing is measured here: each row names the command that measures it again.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

from report import Shown, markdown

RESULTS = Path(__file__).parent / "results"
Stored = Mapping[str, Any]


class Row(NamedTuple):
    """Work beside a peer: what was measured of it, and what arithmetic or the machine would allow."""

    work: str
    peer: str
    measured: str
    limit: str
    script: str


def thinking(stored: Stored) -> list[Row]:
    """Thoughts and text at 2.5 thoughts a user, and a thinking update."""
    latent, sizes = stored["latent"], stored["latent"]["sizes"]
    answered = sizes["prompt"] + 3 * sizes["width"]  # of four tokens the last is not read
    tokens = 2.5 + 2  # with the two that thoughts stand between
    text = f"written reasoning of {sizes['text']} tokens"
    update = stored["thinking_update"]["seconds"]["by rows"]
    each = sum(update["each"]) / sum(update["plain"])
    return [
        Row(
            f"2.5 thoughts, {sizes['batch']} users at once",
            "no thoughts",
            f"{latent['compare']['overhead']['mean']:+.1%}",
            f"{tokens / answered:+.1%} of the tokens",
            "latent.py",
        ),
        *(
            Row(
                f"2.5 thoughts, {batch['batch']} users at once",
                "no thoughts",
                f"{batch['overhead']:+.1%}",
                f"{tokens / answered:+.1%} of the tokens",
                "latent.py",
            )
            for batch in latent["batches"]
        ),
        Row(
            "2.5 thoughts, before the answer",
            text,
            f"{latent['compare']['text_over_mean_added']:.0f} x as fast",
            f"{sizes['text'] / tokens:.0f} x fewer tokens",
            "latent.py",
        ),
        Row(
            "update with 3 thoughts at every position, each held to the answer",
            "without thoughts",
            f"{each:.1f} x the time",
            "4 to 5 x the positions",
            "thinking_update.py",
        ),
    ]


def decoding(stored: Stored) -> list[Row]:
    """The search beside `generate`, its prefill and its constraint, and a catalogue that changes."""
    found, sizes = stored["decode"]["compare"], stored["decode"]["sizes"]
    floor = (sizes["prompt"] + 3 * sizes["width"]) / sizes["prompt"]
    largest, changed = stored["decode"]["constraint"][-1], stored["live"]["rows"][-1]
    return [
        Row(
            f"beam search, {sizes['width']} beams over {found['items']:,} items, {sizes['batch']} users",
            "transformers' `generate` on the same trie",
            f"{found['speedup']['generate_trie']:.0f} x as fast",
            "",
            "decode.py",
        ),
        Row(
            "the same, prompts included",
            "reading the prompts alone",
            f"{found['total_over_prefill']:.2f} x the time",
            f"{floor:.2f} x the tokens",
            "decode.py",
        ),
        Row(
            f"the trie's constraint over {largest['items']:,} items",
            "the whole search",
            f"{largest['share_of_search']:.1%} of the time",
            "0 %",
            "decode.py",
        ),
        Row(
            f"an item comes to {changed['items']:,}",
            "the trie built anew",
            f"{changed['built_ms'] / changed['one_ms']:.0f} x as fast",
            "",
            "live.py",
        ),
    ]


def supervised(stored: Stored) -> list[Row]:
    """Updates of SFT beside the usual way to compute them."""
    sft, softmax = stored["sft"], stored["item_softmax"]["rows"][1]
    taken, whole, parts = sft["seconds"], softmax["whole"], softmax["parts"]
    return [
        Row(
            "SFT, packed",
            "a large float32 product",
            f"{sft['share_of_peak']:.0%} of its FLOP/s",
            "100 %",
            "sft.py",
        ),
        Row(
            "SFT, packed",
            "transformers' Trainer, the same tokens",
            f"{taken['trainer'] / taken['packed']:.2f} x as fast",
            "",
            "sft.py",
        ),
        Row(
            "SFT, packed, `compile: inductor`",
            "transformers' Trainer, the same tokens",
            f"{taken['trainer'] / taken['compiled']:.2f} x as fast",
            "",
            "sft.py",
        ),
        Row(
            "SFT, packed",
            "sliding: a prompt an answer",
            f"{taken['sliding'] / taken['packed']:.0f} x as fast",
            "",
            "sft.py",
        ),
        Row(
            f"softmax over {softmax['among']:,} items, in parts",
            "at once",
            f"{parts['megabytes'] / whole['megabytes']:.2f} x the memory, "
            f"{parts['seconds'] / whole['seconds']:.2f} x the time",
            "1.33 x the products",
            "item_softmax.py",
        ),
    ]


def products(stored: Stored) -> list[Row]:
    """What oneDNN's kernels change of the same work, and weights that are laid out for them."""
    faster = {
        name: f"{taken['torch'] / taken['onednn']:.2f} x as fast"
        for name, taken in stored["matmul"]["seconds"].items()
    }
    large, *_ = faster.values()
    *_, search, _ = stored["packed"]["seconds"].values()
    packed = f"{search['own'] / search['packed']:.2f} x as fast"
    rows = {
        "beam search": "the same search, packed",
        "SFT": "an update of SFT, packed",
        "RL, its": "an update of RL",
    }
    return [
        Row("the same search, by packed weights", "by torch's own products", packed, "", "packed.py"),
        Row("a large product by oneDNN", "by torch's own kernels, on an AMD EPYC", large, "", "matmul.py"),
        *(
            Row(f"{label}, by oneDNN", "by torch's own kernels, there", found, "", "matmul.py")
            for begins, label in rows.items()
            for name, found in faster.items()
            if name.startswith(begins)
        ),
    ]


def reinforced(stored: Stored) -> list[Row]:
    """Steps of RL beside the usual way to compute them, and two processes beside one."""
    rl, trl = stored["rl_step"], stored["rl_trl"]
    candidates, before = rl["sizes"]["candidates"], rl["prompt"] + rl["mean_depth"] + 2
    shared, repeated = before + 3 * candidates, candidates * (before + 3)
    prompt, trl_candidates = trl["prompt"], trl["sizes"]["candidates"]
    trl_tokens = trl_candidates * (prompt + 4) / (prompt + 4 * trl_candidates)
    scaled = stored["scaling"]["seconds"]
    return [
        Row(
            f"RL step, {candidates} candidates behind one reading",
            "a row a candidate",
            f"{rl['ratio']:.1f} x as fast",
            f"{repeated / shared:.1f} x fewer tokens",
            "rl_step.py",
        ),
        Row(
            "RL step, no thoughts",
            "TRL's GRPOTrainer",
            f"{trl['ratio']['plain']:.1f} x as fast",
            f"{trl_tokens:.1f} x fewer tokens",
            "rl_trl.py",
        ),
        *(
            Row(
                f"{label}, two processes",
                "one",
                f"{median(scaled[name]['1']) / median(scaled[name]['2']):.2f} x as fast",
                "2 x",
                "scaling.py",
            )
            for name, label in (("more", "SFT"), ("rl", "RL"), ("evaluate", "evaluation"))
        ),
    ]


def data(stored: Stored) -> list[Row]:
    """Seconds a row of each step at the largest size, beside a tenth of it."""
    sizes = stored["scale"]["sizes"]
    large = max(sizes, key=int)
    small = str(int(large) // 10)
    steps = {"csv": "load CSV", "amazon_reviews": "load reviews", "tokenize": "tokenise"}
    rows = []
    for name, label in steps.items():
        a_row = [sizes[size][name]["seconds"] / int(size) for size in (small, large)]
        rows.append(
            Row(
                f"{label}, {int(large):,} interactions",
                f"{int(small):,}",
                f"{a_row[1] / a_row[0]:.2f} x the time a row",
                "1 x",
                "scale.py",
            )
        )
    return rows


def gpu(stored: Stored) -> list[Row]:
    """What one card did, in one or two runs of a few minutes."""
    first = {line["name"]: line for line in stored["gpu"] if line["part"] in "cd"}
    later = {line["name"]: line for line in stored["gpu_launches"] if line["part"] in "ef"}
    whole = first["sft float32 weights, bf16, vocabulary, 16 x 512"]
    trie = first["sft float32 weights, bf16, trie, 16 x 512"]
    theirs = first["transformers 16 x 512"]
    most = first["sft bf16 weights, trie, 32 x 512"]
    shared, repeated = (
        later[f"small, 64 prompts, prompt {how}"]["prompts_per_second"] for how in ("shared", "repeated")
    )
    search = "beam search, 0.6B, {} users"
    generate = [
        first[f"0.6B bfloat16 batch {batch}"]["users_per_second"]
        / first[f"0.6B bfloat16 batch {batch} generate"]["users_per_second"]
        for batch in (8, 64)
    ]
    loop = "transformers' forward and fused AdamW"
    return [
        Row("SFT, 0.6B, bf16", "the peak", f"{most['share_of_peak']:.1%} of its FLOP/s", "100 %", "gpu.py"),
        *(
            Row(
                f"SFT, 0.6B, {scored}",
                loop,
                f"{line['tokens_per_second'] / theirs['tokens_per_second']:.2f} x as fast",
                "",
                "gpu.py",
            )
            for scored, line in {"the whole vocabulary": whole, "the trie's tokens": trie}.items()
        ),
        *(
            Row(search.format(batch), "`generate`", f"{times:.1f} x as fast", "", "gpu.py")
            for batch, times in zip((8, 64), generate, strict=True)
        ),
        Row(
            "2.5 thoughts, 0.6B, 8 users",
            "no thoughts",
            f"{later['0.6B batch 8']['overhead']['2.5']:+.0%}",
            "",
            "gpu.py",
        ),
        Row(
            "RL step, small model, 8 candidates behind one reading",
            "a row a candidate",
            f"{shared / repeated:.2f} x as fast",
            "",
            "gpu.py",
        ),
    ]


def table() -> str:
    """The markdown of docs/speed.md."""
    stored = {path.stem: json.loads(path.read_text()) for path in RESULTS.glob("*.json")}
    for path in RESULTS.glob("gpu*.jsonl"):
        stored[path.stem] = [json.loads(line) for line in path.read_text().splitlines()]
    parts = (thinking, decoding, supervised, reinforced, products, data)
    rows = [row for part in parts for row in part(stored)]
    return markdown("On a CPU:", [_shown(rows)]) + "\n\n" + markdown("On one H200:", [_shown(gpu(stored))])


def _shown(rows: list[Row]) -> Shown:
    header = ("work", "beside", "measured", "limit", "`python benchmarks/`")
    return header, [(*row[:4], f"`{row.script}`") for row in rows]


if __name__ == "__main__":
    print(table())
