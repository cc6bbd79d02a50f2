"""Where a component of some kind stands in a spec, for examples."""

from __future__ import annotations

from typing import Any

from lasar_kit.spec.yaml_source import dump


def example(kind: str, options: dict[str, Any]) -> str:
    """A piece of a spec, as YAML, that holds a component with these options where its kind belongs.

    A decoder that draws is of the kind `rollout`.

    >>> print(example("aligner", {"use": "mine"}), end="")
    stages:
      reason:
        use: sft
        aligner:
          use: mine
    """
    inside = {kind: options}
    stages: dict[str, tuple[str, dict[str, Any]]] = {
        "stage": (options["use"], options),
        "text_encoder": ("tokenize", {"use": "tokenize", **inside}),
        "quantizer": ("tokenize", {"use": "tokenize", **inside}),
        "latent_loop": ("reason", {"use": "sft", **inside}),
        "depth_policy": ("reason", {"use": "sft", **inside}),
        "aligner": ("reason", {"use": "sft", **inside}),
        "teacher": ("anchors", {"use": "anchors", **inside}),
        "segmenter": ("anchors", {"use": "anchors", **inside}),
        "rollout": ("rl", {"use": "rl", **inside}),
        "reward": ("rl", {"use": "rl", "rewards": [inside]}),
        "ranker": ("evaluate", {"use": "evaluate", "beside": [options]}),
        "sft_objective": ("reason", {"use": "sft", "objectives": [{"objective": options}]}),
        "rl_objective": ("rl", {"use": "rl", "objectives": [{"objective": options}]}),
    }
    if kind == "hook":
        return dump({"hooks": [options]})
    if kind not in stages:
        return dump(inside)
    name, stage = stages[kind]
    return dump({"stages": {name: stage}})
