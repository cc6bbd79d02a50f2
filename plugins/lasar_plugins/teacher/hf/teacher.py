"""Greedy decoding with transformers, several histories at once."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, cast

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, GenerationConfig

from lasar_kit.core.reasoning import ReasoningRequest
from lasar_kit.core.reasoning.answer import finished
from lasar_kit.core.reasoning.prompt import messages, told_title
from lasar_kit.core.values import Env
from lasar_kit.errors import UserError
from lasar_plugins.teacher.hf.config import HfTeacherConfig


class HfTeacher:
    """Texts of a local model: its most probable token each time, so that texts repeat."""

    def __init__(self, config: HfTeacherConfig, env: Env) -> None:
        self.config = config
        self.wants_target = config.show_target
        self.device = env.device
        self.report = env.report

    def write(self, requests: Sequence[ReasoningRequest]) -> Iterator[tuple[int, str | None]]:
        """Texts batch by batch; `UserError` where the model cannot be had or a prompt is too long for it."""
        if not requests:
            return
        model, tokenizer = self._load()
        size = self.config.batch_size
        for start in range(0, len(requests), size):
            batch = requests[start : start + size]
            prompts = [self._prompt(tokenizer, request) for request in batch]
            texts = self._generate(model, tokenizer, prompts)
            for index, (prompt, text) in enumerate(zip(prompts, texts, strict=True), start=start):
                thinking = prompt.rstrip().endswith("<think>")
                shown = told_title(requests[index], self.config.show_target)
                yield index, finished(text, self.config.recommendation, thinking, shown)
            self.report({"done": float(start + len(batch)), "total": float(len(requests))})

    def _load(self) -> tuple[Any, Any]:
        """Model and tokenizer, weights from safetensors only and no code of their own."""
        name = self.config.model
        if Path(name).is_absolute() and not (Path(name) / "config.json").is_file():
            raise UserError(f"teacher hf: model: {name} is not the folder of a saved model (no config.json)")
        version: dict[str, Any] = {"revision": self.config.revision or "main", "trust_remote_code": False}
        try:
            tokenizer = AutoTokenizer.from_pretrained(name, **version)
            model = AutoModelForCausalLM.from_pretrained(name, use_safetensors=True, dtype="auto", **version)
        except (OSError, ValueError, KeyError) as error:
            reason = (str(error).strip() or type(error).__name__).splitlines()[0]
            raise UserError(f"teacher hf: model: {name} cannot be loaded ({reason})") from error
        if tokenizer.pad_token_id is None:
            tokenizer.pad_token = tokenizer.eos_token
        if tokenizer.pad_token_id is None:
            raise UserError(f"teacher hf: model: the tokenizer of {name} has neither a pad nor an end token")
        tokenizer.padding_side = "left"
        return cast(Any, model).to(self.device).eval(), tokenizer

    def _prompt(self, tokenizer: Any, request: ReasoningRequest) -> str:
        """By the tokenizer's own chat template if it has one, else as plain text."""
        instructions, question = messages(request, self.config.instructions, self.config.show_target)
        if not tokenizer.chat_template:
            return f"{instructions}\n\n{question}\n\nStep 1:"
        chat = [{"role": "system", "content": instructions}, {"role": "user", "content": question}]
        text: str = tokenizer.apply_chat_template(chat, tokenize=False, add_generation_prompt=True)
        return text

    @torch.inference_mode()
    def _generate(self, model: Any, tokenizer: Any, prompts: list[str]) -> list[str]:
        """The continuation of each prompt."""
        chat = bool(tokenizer.chat_template)
        batch = tokenizer(prompts, padding=True, add_special_tokens=not chat, return_tensors="pt")
        length = batch["input_ids"].shape[1]
        most = getattr(model.config, "max_position_embeddings", None)
        if most and length + self.config.max_new_tokens > most:
            raise UserError(
                f"teacher hf: model: a prompt of {length} tokens and max_new_tokens "
                f"{self.config.max_new_tokens} exceed the {most} positions of {self.config.model}"
            )
        ends = model.generation_config.eos_token_id
        # A configuration of our own: the folder's may sample, or penalise repetition.
        greedy = GenerationConfig(  # type: ignore[no-untyped-call]
            do_sample=False,
            max_new_tokens=self.config.max_new_tokens,
            pad_token_id=tokenizer.pad_token_id,
            eos_token_id=tokenizer.eos_token_id if ends is None else ends,
        )
        tokens = model.generate(
            input_ids=batch["input_ids"].to(self.device),
            attention_mask=batch["attention_mask"].to(self.device),
            generation_config=greedy,
        )
        texts: list[str] = tokenizer.batch_decode(tokens[:, length:], skip_special_tokens=True)
        return texts if chat else ["Step 1:" + text for text in texts]
