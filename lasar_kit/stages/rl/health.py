"""Faults of RL, told when they happen: a line with the numbers and the option to look at."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from rich.markup import escape

from lasar_kit.stages.rl.config import RlConfig, named
from lasar_kit.train.loop import Training
from lasar_kit.train.validation import SELECTED_BY

PATIENCE = 5
"""Updates in a row that a fault must last; a small batch may have one without a hit."""

FAR = 1.0
"""Nats a token from the reference: e times less or more likely, on average, than before RL."""

SETTLED = 0.01
"""Nats of entropy below which a depth policy chooses one depth for all."""


@dataclass
class Health:
    """Looks at the numbers of each update; each fault is told once.

    The depth policy can choose among `depths`; an item has `levels` tokens. `updates` are all there will be.
    """

    config: RlConfig
    updates: int
    depths: int
    levels: int
    streaks: dict[str, int] = field(default_factory=dict)
    told: dict[str, str] = field(default_factory=dict)

    def after(self, update: int, numbers: Mapping[str, float]) -> list[str]:
        """List what there is to say after an update, counted from 1, by what it logs."""
        faults = dict(self._faults(numbers))
        self.streaks = {fault: self.streaks.get(fault, 0) + 1 for fault in faults}
        due = min(PATIENCE, self.updates)
        new = {
            fault: f"at update {update}: {text}"
            for fault, text in faults.items()
            if fault not in self.told and self.streaks[fault] >= (1 if fault == "kl" else due)
        }
        self.told |= new
        return list(new.values())

    def _faults(self, numbers: Mapping[str, float]) -> Iterator[tuple[str, str]]:
        config = self.config
        if numbers["reward"] == 0 and numbers["group_hit"] == 0:
            yield (
                "reward",
                f"no candidate has earned anything (reward 0, group_hit 0, {config.candidates} candidates a "
                "prompt), so there is nothing to learn; train the stage before longer, raise candidates, or "
                "add the reward 'prefix', which pays for SIDs that begin like the target's",
            )
        elif numbers.get("zero_variance") == 1:
            yield (
                "zero_variance",
                f"the candidates of every prompt have one reward (zero_variance 1, reward "
                f"{numbers['reward']:.3g}), so grpo's advantages are 0; raise candidates "
                f"({config.candidates}), set 'prompts: likely' or 'refill: 2', or choose rewards that tell "
                "candidates apart ('prefix')",
            )
        if self.depths > 1 and numbers.get("depth_entropy", SETTLED) < SETTLED:
            yield (
                "depth_entropy",
                f"the depth policy has collapsed: it thinks {numbers['depth']:.2f} times whatever the prompt "
                f"(depth_entropy {numbers['depth_entropy']:.2g} nats); raise reinforce's entropy, or lower "
                "depth_lr",
            )
        for name, limit in self._limits().items():
            if numbers.get(name, 0.0) > limit:
                yield (
                    "kl",
                    f"the policy runs away from the reference ({name} {numbers[name]:.3g} nats); raise "
                    f"grpo's beta, or lower optimizer.lr ({config.optimizer.lr:g})",
                )

    def _limits(self) -> dict[str, float]:
        """How large each KL in the log may be; one by sequence is a sum over an item's tokens."""
        limits: dict[str, float] = {}
        for name, entry in named(self.config.objectives).items():
            if level := entry.objective.kl_over:
                limits[f"{name}_kl" if limits else "kl"] = FAR * (self.levels if level == "sequence" else 1)
        return limits


class Watched(Training):
    """RL that says why it fails, on the screen and as `warnings` in its report."""

    config: RlConfig

    @cached_property
    def health(self) -> Health:
        """Of this training."""
        depths = len(set(self.recommender.depth_policy.support))
        return Health(self.config, self.updates, depths, self.recommender.prompts.table.tokens.shape[1])

    def watched(self, numbers: Mapping[str, float]) -> Mapping[str, float]:
        """The numbers of the update that is being made, looked at."""
        self._tell(self.health.after(self.done + 1, numbers))
        return numbers

    def memory(self) -> dict[str, Any]:
        """Return what was seen and said, so that a run that goes on says nothing twice."""
        return {"streaks": self.health.streaks, "told": self.health.told}

    def recall(self, memory: Mapping[str, Any]) -> None:
        """Go on from what `memory` gave."""
        self.health.streaks, self.health.told = dict(memory["streaks"]), dict(memory["told"])

    def _report(self, done: int) -> dict[str, Any]:
        later = [values[SELECTED_BY] for values in self.best.history[1:]]
        if later and not self.best.best_update and "kept" not in self.health.told:
            line = (
                f"no update made the model better: validation {SELECTED_BY} {self.best.best:.4f} before the "
                f"first, at most {max(later):.4f} after; look at optimizer.lr "
                f"({self.config.optimizer.lr:g}), epochs, and the reward in log.jsonl"
            )
            if self.best.keep == "last":
                line += "; the last model is left all the same, as 'keep: last' asks"
            self.health.told["kept"] = line
            self._tell([line])
        return {**super()._report(done), "warnings": list(self.health.told.values())}

    def _tell(self, lines: list[str]) -> None:
        for line in lines:
            self.context.screen.print(f"[yellow]stages.{escape(f'{self.context.name}: {line}')}[/yellow]")
