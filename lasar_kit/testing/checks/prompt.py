"""Laws for every prompt template."""

from __future__ import annotations

import re
from typing import Any

from hypothesis import strategies as st

from lasar_kit.core.interfaces import PromptTemplate
from lasar_kit.core.vocabulary import LATENT_TOKENS
from lasar_kit.testing.contract import Contract, Subject, expect

_PARTS = ("head", "separator", "tail")
_ADDED = re.compile("|".join([r"<[a-z]_\d+>", *map(re.escape, LATENT_TOKENS)]))

_MARK = "{history}"


def _act(component: PromptTemplate, inputs: None) -> dict[str, Any]:
    return {name: getattr(component, name) for name in (*_PARTS, "start_token")}


prompt = Contract("prompt", PromptTemplate, st.none(), lambda case: case, _act, changeable=False, examples=1)


@prompt.check(
    "Set head, separator and tail to texts, empty ones if need be, and start_token to True or False."
)
def parts_are_texts(subject: Subject, case: None) -> None:
    """Head, separator and tail are texts, `start_token` is true or false."""
    parts = _act(subject.component, None)
    wrong = [f"{name} is {parts[name]!r}" for name in _PARTS if not isinstance(parts[name], str)]
    expect(not wrong, "; ".join(wrong))
    expect(isinstance(parts["start_token"], bool), f"start_token is {parts['start_token']!r}")


@prompt.check("Leave SIDs and latent tokens to the engine, which puts them in their places.")
def no_added_tokens_in_the_text(subject: Subject, case: None) -> None:
    """No SID or latent token stands in the fixed text, where it would read as an item or a thought."""
    for name in _PARTS:
        token = _ADDED.search(getattr(subject.component, name))
        expect(not token, f"{name} holds {token.group() if token else ''}")


@prompt.check("Cut the text at {history}, once, and leave what stands before and behind it as it is.")
def history_stands_where_it_is_marked(subject: Subject, case: None) -> None:
    """No {history} is left in the text; an option that marks the place so is head, history and tail."""
    parts = _act(subject.component, None)
    left = [name for name in _PARTS if _MARK in str(parts[name])]
    expect(not left, f"{_MARK} stands in {', '.join(left)}")
    options = {} if subject.config is None else subject.config.model_dump()
    for name, text in options.items():
        if isinstance(text, str) and _MARK in text:
            made = f"{parts['head']}{_MARK}{parts['tail']}"
            expect(made == text, f"{name} {text!r} became {made!r}")
