"""Prompt templates: what stands before, between and after the items of a history."""

from __future__ import annotations

from lasar_kit.core.values import Env

from .config import MiniOneRecConfig, SidOnlyConfig, TemplateConfig


class MiniOneRecPrompt:
    """The instruction template of MiniOneRec as the paper prints it (E.2)."""

    start_token = False
    separator = ", "
    head = (
        "Below is an instruction that describes a task, paired with an input that provides further "
        "context. Write a response that appropriately completes the request.\n"
        "### Instruction:\n"
        "Can you predict the next possible item that the user may expect?\n"
        "### User Input:\n"
        "The user has interacted with items "
    )
    tail = (
        " in chronological order. Can you predict the next possible item that the user may expect?\n"
        "### Response:\n"
    )

    def __init__(self, config: MiniOneRecConfig, env: Env) -> None:
        self.max_length = config.max_length


class SidOnlyPrompt:
    """The bare history behind a start token: four tokens an item, so that one causal pass packs a user."""

    start_token = True
    head = separator = tail = ""

    def __init__(self, config: SidOnlyConfig, env: Env) -> None:
        self.max_length = config.max_length


class TemplatePrompt:
    """A template from the spec."""

    start_token = False

    def __init__(self, config: TemplateConfig, env: Env) -> None:
        self.head, self.tail = config.text.split("{history}")
        self.separator = config.separator
        self.max_length = config.max_length
