"""TRL's GRPOTrainer on the kit's models, prompts and reward, watched from outside."""

from __future__ import annotations

import importlib
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from decode import LEVELS, TrieProcessor
from jaxtyping import Int
from torch import Tensor
from tracing import peak, watching
from transformers import AutoModelForCausalLM, LogitsProcessorList, PrinterCallback, TrainerCallback

LINE = "pip install trl"


def module(name: str) -> Any:
    """A module of the peer's, or one line on how to get it."""
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as fault:
        raise SystemExit(f"{fault.name} is not installed; the peer comes with: {LINE}") from None


@dataclass(frozen=True)
class Task:
    """Prompts as token ids, all of one length, and the SIDs that earn 1; the catalogue's SIDs; G."""

    tokenizer: Any
    prompts: Int[Tensor, "B L"]
    targets: Int[Tensor, "B M"]
    table: Int[Tensor, "n M"]
    candidates: int

    def columns(self) -> dict[str, list[Any]]:
        """A data set for the trainer, whose tokenizer must read the prompts back as they are."""
        ids = self.prompts.tolist()
        texts = [self.tokenizer.decode(row) for row in ids]
        assert self.tokenizer(texts)["input_ids"] == ids
        return {"prompt": texts, "target": self.targets.tolist()}


class Clock(TrainerCallback):
    """Notes how long each step takes, the first one's peak of memory, losses and, if asked, gradients; calls
    `between` after each step."""

    def __init__(self, between: Callable[[], None], gradients: bool) -> None:
        self.between, self.keeps_gradients = between, gradients
        self.seconds: list[float] = []
        self.megabytes = 0.0
        self.losses: list[float] = []
        self.gradients: list[Mapping[str, Tensor]] = []

    def on_step_begin(self, *_: Any, **__: Any) -> None:
        """Start."""
        self.watch = None if self.seconds else watching()
        self.began = time.perf_counter()

    def on_pre_optimizer_step(self, *_: Any, model: Any, **__: Any) -> None:
        """Gradients are there."""
        if self.keeps_gradients:
            self.gradients.append(gradient(model))

    def on_step_end(self, *_: Any, **__: Any) -> None:
        """Stop."""
        self.seconds.append(time.perf_counter() - self.began)
        if self.watch is not None:
            self.megabytes = peak(self.watch)
        self.between()

    def on_log(self, *_: Any, logs: Mapping[str, float], **__: Any) -> None:
        """A step's numbers."""
        if "loss" in logs:
            self.losses.append(logs["loss"])


def settings(task: Task, folder: str) -> dict[str, Any]:
    """Options of the trainer that make its step the kit's, and keep it from writing."""
    return {
        "output_dir": f"{folder}/out",
        "per_device_train_batch_size": len(task.prompts) * task.candidates,
        "num_generations": task.candidates,
        "max_completion_length": LEVELS,
        "generation_kwargs": {"min_new_tokens": LEVELS},
        "loss_type": "grpo",
        "use_bias_correction_kl": False,
        "shuffle_dataset": False,
        "bf16": False,
        "use_cpu": True,
        "report_to": [],
        "save_strategy": "no",
        "logging_steps": 1,
        "disable_tqdm": True,
    }


class Peer:
    """A trainer of the policy in `folder`, with the reference there.

    It draws with transformers' `generate`, from all tokens, or from those that the trie allows. The trainer
    has no setting for that: `held` hands its model's `generate` a logits processor.
    """

    def __init__(
        self,
        task: Task,
        folder: str,
        clock: Clock,
        held: bool = False,
        optimizer: Callable[[Any], torch.optim.Optimizer] | None = None,
        **options: Any,
    ) -> None:
        trl, datasets = module("trl"), module("datasets")
        self.clock = clock
        self.given: Tensor | None = None
        self.drawing: list[float] = []
        self.processors = None
        if held:
            processor = TrieProcessor(task.table, task.prompts.shape[1])
            self.processors = LogitsProcessorList([processor])
        network = AutoModelForCausalLM.from_pretrained(f"{folder}/policy", dtype=torch.float32)
        network.config._name_or_path = f"{folder}/reference"  # where the trainer looks for it
        self.draw, network.generate = network.generate, self._generate
        self.trainer = trl.GRPOTrainer(
            network,
            _rule,
            trl.GRPOConfig(**settings(task, folder) | options),
            datasets.Dataset.from_dict(task.columns()),
            processing_class=task.tokenizer,
            callbacks=[clock],
            optimizers=(optimizer and optimizer(network.parameters()), None),
        )
        self.trainer.remove_callback(PrinterCallback)

    def train(self, given: Int[Tensor, "BG M"] | None = None) -> None:
        """All steps; where completions are given, on these."""
        self.given = given
        self.trainer.train()

    def _generate(self, input_ids: Tensor, **options: Any) -> Tensor:
        """Draw, on the clock; or answer what is given."""
        if self.given is not None:
            return torch.cat([input_ids, self.given], dim=1)
        began = time.perf_counter()
        drawn: Tensor = self.draw(input_ids=input_ids, logits_processor=self.processors, **options)
        self.drawing.append(time.perf_counter() - began)
        return drawn


def _rule(completion_ids: list[list[int]], target: list[list[int]], **_: Any) -> list[float]:
    """1 for the target, 0 for all else."""
    return [float(ids == wanted) for ids, wanted in zip(completion_ids, target, strict=True)]


def gradient(network: torch.nn.Module) -> Mapping[str, Tensor]:
    """Copies, by weight."""
    found = {name: weight.grad for name, weight in network.named_parameters()}
    return {name: grad.clone() for name, grad in found.items() if grad is not None}
