"""Training curves: what the log of a stage holds, a plot for each question."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from lasar_kit.report.figures.canvas import Drawn, canvas, ink, legend
from lasar_kit.report.grid import Grid

Log = Sequence[tuple[int, Mapping[str, float]]]
"""Updates, and what was logged of each."""

POINTS = 400
"""Points of a line that are drawn; its data hold all."""

LONG = 60
"""Points from which on a running mean stands over them."""


@dataclass(frozen=True)
class Plot:
    """Lines that are drawn together, their names by key of the log; `axis` with its unit."""

    name: str
    caption: str
    axis: str
    lines: Mapping[str, str]


PLOTS = (
    Plot("loss", "Loss: the weighted sum that is minimised", "loss", {"loss": "loss"}),
    Plot(
        "validation",
        "Validation in the whole catalogue",
        "share / mean gain (0 to 1)",
        {"validation_hr@10": "HR@10", "validation_ndcg@10": "NDCG@10"},
    ),
    Plot(
        "validation-loss",
        "Validation: cross-entropy of a token of the answer",
        "nats a token",
        {"validation_loss": "validation loss"},
    ),
    Plot(
        "reward",
        "Reward of a candidate, and the baseline of the depth policy",
        "mean reward",
        {"reward": "reward", "baseline": "baseline"},
    ),
    Plot(
        "mean-n",
        "Mean number of thoughts N",
        "thoughts a prompt",
        {"depth": "drawn in training", "validation_depth": "chosen in validation"},
    ),
    Plot("entropy", "Entropy of the depth policy", "nats", {"depth_entropy": "entropy"}),
    Plot(
        "groups",
        "Groups of candidates: with the true item, and without variance",
        "share of prompts",
        {"group_hit": "with a hit", "zero_variance": "zero variance"},
    ),
    Plot("ratio", "Probability under the policy over the old one", "mean ratio", {"ratio": "ratio"}),
    Plot("clipped", "What clipping holds", "share of tokens", {"clipped": "clipped"}),
    Plot("kl", "Divergence from the reference", "nats a token", {"kl": "KL"}),
    Plot(
        "advantage",
        "Advantages of candidates",
        "advantage",
        {"advantage_max": "largest", "advantage_rms": "root mean square", "advantage_min": "smallest"},
    ),
    Plot(
        "depth-advantage",
        "Advantage of the depths that were drawn",
        "mean advantage",
        {"depth_advantage": "advantage"},
    ),
    Plot("grad-norm", "Norm of the gradient before clipping", "norm", {"grad_norm": "norm"}),
    Plot("lr", "Learning rate", "learning rate", {"lr": "rate"}),
    Plot("speed", "Speed", "samples a second", {"samples_per_s": "speed"}),
)

_ELSEWHERE = re.compile(r"depth_\d+|epoch|items")
"""Keys that no plot is made of: shares of depths have figures of their own."""


def curves(stage: str, log: Log) -> list[Drawn]:
    """A plot for each question that the log answers; each loss term, and each key of a plugin, its own."""
    held = {key for _, values in log for key in values}
    return [_drawn(stage, plot, log) for plot in _plots(held)]


def _plots(held: set[str]) -> Iterator[Plot]:
    planned = {key for plot in PLOTS for key in plot.lines}
    others = sorted(key for key in held - planned if not _ELSEWHERE.fullmatch(key))
    terms = [key for key in others if key.startswith("loss_")]
    for plot in PLOTS:
        lines = {key: name for key, name in plot.lines.items() if key in held}
        if lines:
            yield Plot(plot.name, plot.caption, plot.axis, lines)
        if plot.name == "loss":
            for key in terms:
                name = key.removeprefix("loss_")
                yield Plot(
                    f"loss-{_file(name)}", f"Loss term “{name}”, before its weight", "loss", {key: name}
                )
    for key in others:
        if key not in terms:
            yield Plot(_file(key), f"“{key}”", key, {key: key})


def _file(name: str) -> str:
    """A name that any file may have."""
    return re.sub(r"[^A-Za-z0-9.]+", "-", name).strip("-") or "other"


def _drawn(stage: str, plot: Plot, log: Log) -> Drawn:
    with canvas() as (figure, axes):
        for place, (key, name) in enumerate(plot.lines.items()):
            steps, values = _line(log, key)
            look = ink(place)
            marker = look.pop("marker")
            if len(steps) > LONG:
                axes.plot(*thinned(steps, values), color="#bbbbbb", linewidth=0.7, zorder=1)
                steps, values = thinned(steps, running_mean(values, len(values) // 20))
                name = f"{name} (mean of {len(log) // 20})" if len(plot.lines) == 1 else name
                axes.plot(steps, values, label=name, **look)
            else:
                axes.plot(steps, values, label=name, marker=marker, **look)
        axes.set_xlabel("updates")
        axes.set_ylabel(plot.axis)
        axes.margins(y=0.08)
        axes.ticklabel_format(axis="y", scilimits=(-3, 4), useOffset=False)
        legend(axes)
    keys = list(plot.lines)
    rows = [(step, *(values.get(key) for key in keys)) for step, values in log if values.keys() & set(keys)]
    data = Grid.of(f"{stage} {plot.name}", ["update", *keys], rows)
    return Drawn(f"{_file(stage)}-{plot.name}", plot.caption, figure, data)


def _line(log: Log, key: str) -> tuple[Int[np.ndarray, " n"], Float[np.ndarray, " n"]]:
    points = [(step, values[key]) for step, values in log if key in values]
    steps, values = zip(*points, strict=True)
    return np.array(steps), np.array(values, dtype=np.float64)


def running_mean(values: Float[np.ndarray, " n"], window: int) -> Float[np.ndarray, " n"]:
    """Of the last `window` values, of fewer at the start."""
    sums = np.concatenate([[0.0], np.cumsum(values)])
    end = np.arange(1, len(values) + 1)
    start = np.maximum(end - window, 0)
    mean: Float[np.ndarray, " n"] = (sums[end] - sums[start]) / (end - start)
    return mean


def thinned(
    steps: Int[np.ndarray, " n"], values: Float[np.ndarray, " n"]
) -> tuple[Int[np.ndarray, " m"], Float[np.ndarray, " m"]]:
    """Evenly, and always the last."""
    places = np.unique(np.linspace(0, len(steps) - 1, min(len(steps), POINTS)).astype(int))
    return steps[places], values[places]
