"""Greedy decoding with transformers, several histories at once."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import torch
from transformers import GenerationConfig

from lasar_kit.core.causal_model import find_model, load_model
from lasar_kit.core.model_files import ModelFiles
from lasar_kit.core.reasoning import ReasoningRequest
from lasar_kit.core.reasoning.answer import finished, opens_thoughts, without_thoughts
from lasar_kit.core.reasoning.prompt import messages, told_title
from lasar_kit.core.values import Env
from lasar_kit.errors import UserError
from lasar_plugins.teacher.hf.config import HfTeacherConfig

PLACE = "teacher hf: model"


@dataclass
class Tally:
    """How a call of `write` stands: requests, answers without a text or cut off, tokens without padding."""

    total: int
    done: int = 0
    empty: int = 0
    cut_off: int = 0
    prompt_tokens: int = 0
    answer_tokens: int = 0


class HfTeacher:
    """Texts of a local model: its most probable token each time, so that texts repeat."""

    def __init__(self, config: HfTeacherConfig, env: Env) -> None:
        self.config = config
        self.wants_target = config.show_target
        self.device = env.device
        self.report = env.report
        self.files = ModelFiles(PLACE, config.model, config.revision)

    def write(self, requests: Sequence[ReasoningRequest]) -> Iterator[tuple[int, str | None]]:
        """Texts batch by batch; `UserError` where the model cannot be had or a prompt is too long for it."""
        if not requests:
            return
        model, tokenizer = self._load()
        size, tally = self.config.batch_size, Tally(len(requests))
        for start in range(0, len(requests), size):
            batch = requests[start : start + size]
            prompts = [self._prompt(tokenizer, request) for request in batch]
            answers = self._generate(model, tokenizer, prompts, tally)
            for index, (prompt, answer) in enumerate(zip(prompts, answers, strict=True), start=start):
                text = without_thoughts(answer, thinking=opens_thoughts(prompt))
                for token in tokenizer.all_special_tokens:  # only now: thoughts may stand between two of them
                    text = text.replace(token, "")
                tally.empty += not text.strip()
                shown = told_title(requests[index], self.config.show_target)
                yield index, finished(text, self.config.recommendation, title=shown)
            tally.done += len(batch)
            self.report({name: float(value) for name, value in asdict(tally).items()})

    def _load(self) -> tuple[Any, Any]:
        """Model and tokenizer, weights from safetensors or GGUF only and no code of their own."""
        source = find_model(self.config.model, PLACE, self.config.revision, self.config.gguf_file)
        model, tokenizer = load_model(source, PLACE, dtype="auto")
        tokenizer.padding_side = "left"
        for variable in self.config.chat_template_kwargs:
            if not re.search(rf"\b{re.escape(variable)}\b", tokenizer.chat_template or ""):
                what = "the chat template" if tokenizer.chat_template else "the missing chat template"
                raise UserError(
                    f"teacher hf: chat_template_kwargs: {what} of {self.files.name} reads no {variable!r}"
                )
        return model.to(self.device).eval(), tokenizer

    def _prompt(self, tokenizer: Any, request: ReasoningRequest) -> str:
        """By the tokenizer's own chat template if it has one, else as plain text.

        Templates that know no system role get the instructions before the question.
        """
        instructions, question = messages(request, self.config.instructions, self.config.show_target)
        if not tokenizer.chat_template:
            return f"{instructions}\n\n{question}\n\nStep 1:"
        system, user = {"role": "system", "content": instructions}, {"role": "user", "content": question}
        try:
            return self._chat(tokenizer, [system, user])
        except Exception:  # a template is a program, and refuses in any way
            whole = {"role": "user", "content": f"{instructions}\n\n{question}"}
            with self.files.reading():
                return self._chat(tokenizer, [whole])

    def _chat(self, tokenizer: Any, chat: list[dict[str, str]]) -> str:
        variables = self.config.chat_template_kwargs
        text: str = tokenizer.apply_chat_template(
            chat, tokenize=False, add_generation_prompt=True, **variables
        )
        return text

    @torch.inference_mode()
    def _generate(self, model: Any, tokenizer: Any, prompts: list[str], tally: Tally) -> list[str]:
        """The continuation of each prompt; of a chat with its special tokens, which may part off thoughts."""
        chat = bool(tokenizer.chat_template)
        batch = tokenizer(prompts, padding=True, add_special_tokens=not chat, return_tensors="pt")
        length = batch["input_ids"].shape[1]
        most = getattr(model.config, "max_position_embeddings", None)
        if most and length + self.config.max_new_tokens > most:
            raise UserError(
                f"{PLACE}: a prompt of {length} tokens and max_new_tokens "
                f"{self.config.max_new_tokens} exceed the {most} positions of {self.config.model}"
            )
        ends = self._ends(model, tokenizer)
        # The folder's own settings may sample or penalise; what ours leave open would be taken from them.
        greedy = model.generation_config = GenerationConfig(
            do_sample=False,
            max_new_tokens=self.config.max_new_tokens,
            pad_token_id=tokenizer.pad_token_id,
            eos_token_id=ends or None,
        )
        tokens = model.generate(
            input_ids=batch["input_ids"].to(self.device),
            attention_mask=batch["attention_mask"].to(self.device),
            generation_config=greedy,
        )
        tally.prompt_tokens += int(batch["attention_mask"].sum())
        rows = [_until(row, ends) for row in tokens[:, length:].tolist()]
        tally.answer_tokens += sum(len(row) for row in rows)
        tally.cut_off += sum(not row or row[-1] not in ends for row in rows)
        texts: list[str] = tokenizer.batch_decode(rows, skip_special_tokens=not chat)
        return texts if chat else ["Step 1:" + text if text.strip() else "" for text in texts]

    def _ends(self, model: Any, tokenizer: Any) -> list[int]:
        """Ids that end an answer: the folder's, else the tokenizer's."""
        ends = model.generation_config.eos_token_id
        ends = tokenizer.eos_token_id if ends is None else ends
        return [*ends] if isinstance(ends, list) else [] if ends is None else [ends]


def _until(row: list[int], ends: list[int]) -> list[int]:
    """An answer up to what ends it, that included; what follows is padding."""
    stops = [place for place, token in enumerate(row) if token in ends]
    return row[: stops[0] + 1] if stops else row
