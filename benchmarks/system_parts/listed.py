"""The systems that are compared: each a spec of `tutorials/baselines` and what is set beside."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

PROTOCOLS = ("history_out", "history_in")
METRICS = ("hr@10", "ndcg@10")


class System(NamedTuple):
    """A spec, what is set of it, and its evaluate stages that are rows with what their names end with."""

    spec: str
    options: tuple[str, ...] = ()
    rows: Mapping[str, str] = {"evaluate": "", "memory": ", with memory"}


def _thinks(depth: int) -> tuple[str, ...]:
    loop = "{use: coconut, exit: residual, feedback_scale: embedding_rms}"
    return (
        f"stages.train.latent_loop={loop}",
        f"stages.train.depth_policy={{use: fixed, depth: {depth}}}",
    )


_PRODUCTS = (
    "stages.train.objectives=[{objective: {use: answer, temperature: 0.07}}, {objective: {use: rearec_prl, "
    "temperature: 0.07, alpha: 5.0, noise: 0.01, warmup: 2, similarity: dot, contrast: 1.0}}]"
)
SYSTEMS: Mapping[str, System] = {
    "GRU4Rec": System("gru4rec"),
    "BERT4Rec": System("bert4rec"),
    "SASRec, one negative (BCE)": System("sasrec_bce"),
    "SASRec, sampled softmax": System("sasrec_sampled"),
    "SASRec": System("sasrec_memory"),
    "SASRec, a thought from the first epoch": System("sasrec_thinks", ("stages.train.depth_policy.depth=1",)),
    "SASRec, three thoughts from the first epoch": System("sasrec_thinks"),
    "SASRec, three pauses": System("sasrec_pause"),
    "SASRec, three times noise": System("sasrec_noise"),
    "ReaRec ERL": System("rearec_erl"),
    "ReaRec PRL, dot products": System("rearec_prl", (_PRODUCTS,)),
    "ReaRec PRL": System("rearec_prl"),
    "ManCAR": System("mancar"),
    "LARES": System("lares"),
    "PLR": System("plr"),
    "SASRec, each prefix a sample": System("sasrec_prefixes"),
    "BSARec": System("bsarec_memory"),
    "Qwen3": System("qwen3_memory"),
    "Qwen3, each prefix a sample": System("qwen3_prefixes"),
    "Qwen3, each prefix a sample, two steps (ERL)": System("qwen3_steps"),
    "Qwen3, a thought from the first epoch": System("qwen3_id", _thinks(1)),
    "Qwen3, three thoughts from the first epoch": System("qwen3_id", _thinks(3)),
    # The spec's first model is the one of one token an item, which has a row of its own.
    "Qwen3, cluster and item": System(
        "hybrid_trained", rows={"evaluate_hybrid": "", "memory_hybrid": ", with memory"}
    ),
    "Qwen3, text cluster and item": System("qwen3_hybrid"),
    "S2GR": System("s2gr"),
    "LatentR3": System("latentr3", rows={"evaluate": ", before RL", "e_reinforce": ""}),
    "SoftCoT": System("softcot", rows={"evaluate": ", its model before", "e_soft": ""}),
    "CODI": System("codi", rows={"evaluate": ", its model before", "e_distil": ""}),
    "Coconut's curriculum": System(
        "coconut_curriculum", rows={"evaluate": ", its model before", "e_thoughts": ""}
    ),
    "explicit CoT": System(
        "cot_template", rows={"evaluate": ", its model before", "direct": ", direct", "think": ", think"}
    ),
    "TIGER": System("tiger"),
    "LC-Rec": System("lcrec"),
    "thinking": System("thinking", rows={}),
    "held": System("held", rows={}),
    "ReaRec's steps": System("rearec", rows={}),
    "LASAR": System("lasar_id", rows={}),
    "LASAR, each prefix a sample": System("lasar_prefixes", rows={}),
}
"""What tables call a model."""
OPTIONS: Mapping[tuple[str, str], tuple[str, ...]] = {
    # Larger batches where there are many prefixes.
    ("beauty", "bsarec"): ("stages.train.batch_size=512", "stages.train.optimizer.lr=1.0e-3"),
    # Whole texts, which titles of real items make longer than the shop's.
    ("scientific", "codi"): ("stages.distil.rationale_tokens=704",),
    ("scientific", "coconut"): tuple(f"stages.{s}.rationale_tokens=704" for s in ("words", "one", "two")),
}
"""What is set beside by data set and the beginning of a spec's name."""


class Study(NamedTuple):
    """A table of its own: the evaluate stage that others are tested against, and all rows."""

    control: str
    rows: Mapping[str, str]


_LASAR = Study(
    "e_more_rl",
    {
        "evaluate": "MiniOneRec (SFT)",
        "e_more": "MiniOneRec trained as long (SFT)",
        "e_more_rl": "MiniOneRec trained as long (RL) (control)",
        "e_noise": "noise (SFT)",
        "e_pause": "pauses (SFT)",
        "e_pause_rl": "pauses (RL)",
        "e_reason": "LASAR (SFT)",
        "e_rl": "LASAR (RL)",
        "m_more_rl": "MiniOneRec trained as long (RL), with memory",
        "m_pause_rl": "pauses (RL), with memory",
        "m_rl": "LASAR (RL), with memory",
    },
)
STUDIES: Mapping[str, Study] = {
    "thinking": Study(
        "e_more",
        {
            "evaluate": "the model itself",
            "e_more": "ten more epochs (control)",
            "e_pause3": "three pauses",
            "e_noise3": "three times noise",
            "e_think1": "one thought",
            "e_think3": "three thoughts",
            "e_each3": "three thoughts, each held to the answer",
        },
    ),
    "held": Study(
        "e_pause_each3",
        {
            "evaluate": "the model itself",
            "e_more": "ten more epochs",
            "e_pause_each3": "three pauses, each held to the answer (control)",
            "e_each3": "three thoughts, each held to the answer",
        },
    ),
    "ReaRec's steps": Study(
        "evaluate",
        {
            "evaluate": "SASRec at ReaRec's temperature (control)",
            "e_erl": "two steps, ensemble (ERL)",
            "e_prl": "two steps, progressive (PRL)",
        },
    ),
    "LASAR": _LASAR,
    "LASAR, each prefix a sample": _LASAR,
}
"""Systems that have a table of their own."""


class Try(NamedTuple):
    """A way to think and what it is held against: systems, with a stage where they train several times."""

    way: str
    system: str
    without: str
    stage: str = ""
    control: str = ""


def _tries(of: str, ending: str) -> tuple[Try, ...]:
    """The ways of a study of LASAR, each against as much more training without thoughts."""
    kinds = {"reason": "LASAR (SFT)", "pause": "pauses, each held to the answer", "noise": "noise held to it"}
    rl = {"rl": "LASAR (RL)", "pause_rl": "such pauses, then RL"}
    return tuple(
        Try(way + ending, of, of, stage, control)
        for ways, control in ((kinds, "more"), (rl, "more_rl"))
        for stage, way in ways.items()
    )


TRIED: tuple[Try, ...] = (
    Try("a thought from the first epoch, SASRec", "SASRec, a thought from the first epoch", "SASRec"),
    Try("three of them", "SASRec, three thoughts from the first epoch", "SASRec"),
    Try("three pauses", "SASRec, three pauses", "SASRec"),
    Try("three times noise", "SASRec, three times noise", "SASRec"),
    Try("ReaRec ERL", "ReaRec ERL", "SASRec"),
    Try("ReaRec PRL, dot products", "ReaRec PRL, dot products", "SASRec"),
    Try("ReaRec PRL, cosines (cut by time)", "ReaRec PRL", "SASRec"),
    Try("PLR (cut by time)", "PLR", "SASRec"),
    Try("ManCAR (cut by time)", "ManCAR", "SASRec"),
    Try("LARES (cut by time)", "LARES", "SASRec"),
    Try("a thought from the first epoch, Qwen3", "Qwen3, a thought from the first epoch", "Qwen3"),
    Try("three of them, Qwen3", "Qwen3, three thoughts from the first epoch", "Qwen3"),
    Try(
        "ReaRec's ensemble, Qwen3, prefixes",
        "Qwen3, each prefix a sample, two steps (ERL)",
        "Qwen3, each prefix a sample",
    ),
    Try("ReaRec's ensemble at its temperature, prefixes", "ReaRec's steps", "ReaRec's steps", "erl", "train"),
    Try("ReaRec's progressive steps there", "ReaRec's steps", "ReaRec's steps", "prl", "train"),
    *_tries("LASAR", ", packed"),
    *_tries("LASAR, each prefix a sample", ", prefixes"),
)
"""What was tried to make thinking pay, in the order of the page."""


def settings(data: str, folder: Path, name: str, seed: int, minutes: float) -> list[str]:
    """All that a run sets of its system's spec, as `--set` takes it."""
    system = SYSTEMS[name]
    beside = [own for (of, first), own in OPTIONS.items() if of == data and system.spec.startswith(first)]
    return [
        "dataset.use=lcrec",
        f"dataset.path={folder}",
        f"seed={seed}",
        "stages.evaluate.beside=[]",
        f"hooks=[{{use: time_limit, minutes: {minutes}}}]",
        *system.options,
        *(option for options in beside for option in options),
    ]
