"""A chat endpoint, asked until it answers or there is no more point in asking."""

from __future__ import annotations

import json
import os
import random
import threading
from collections.abc import Callable
from http.client import HTTPException

from lasar_kit.errors import UserError
from lasar_plugins.teacher.openai.cache import Answer
from lasar_plugins.teacher.openai.config import OpenAiTeacherConfig
from lasar_plugins.teacher.openai.http import Reply, post

PASSING = frozenset({408, 409, 425, 429, 500, 502, 503, 504, 520, 522, 524, 529})
"""Statuses after which the same request may succeed."""

HOPELESS = frozenset({301, 302, 303, 307, 308, 401, 402, 403, 404, 405})
"""Statuses that speak of the address, the key or the account, so every other request would fail as well."""


FILTERED = "content_filter"
"""How an answer finishes that the endpoint withholds."""


class Failed(Exception):
    """One request that got no answer, after so many retries; others may.

    `refused` where the endpoint will not answer it however often it is asked.
    """

    def __init__(self, reason: str, retries: int = 0, refused: bool = False) -> None:
        super().__init__(reason)
        self.retries = retries
        self.refused = refused


class Empty(Failed):
    """An answer without a text, or whose thoughts never came to one."""

    def __init__(self, answer: Answer, retries: int) -> None:
        tokens = f"{answer.answer_tokens} tokens" if answer.answer_tokens else "tokens not told"
        super().__init__(f"an empty answer (finish: {answer.finish or 'not told'}, {tokens})", retries)
        self.answer = answer


class ChatClient:
    """Asks one endpoint, and no more once `stop` is set.

    The key is read from the environment here, and goes into request headers alone.
    """

    def __init__(
        self,
        config: OpenAiTeacherConfig,
        seed: int,
        stop: threading.Event,
        sleep: Callable[[float], object] | None = None,
    ) -> None:
        self.config = config
        self.seed = seed
        self.stop = stop
        self.sleep = sleep or stop.wait
        self.url = config.base_url + "/chat/completions"
        self._key = read_key(config.api_key_env)

    def ask(self, name: str, body: bytes) -> tuple[Answer, int]:
        """The answer to a request, and how often it was tried again.

        `Failed` where the endpoint does not answer this request, `UserError` where it will answer none.
        """
        for attempt in range(self.config.retries + 1):
            if self.stop.is_set():  # all who sleep wake up at once then
                raise Failed("stopped", attempt)
            answer, wait, reason = self._try(body, attempt)
            if answer is not None:
                return answer, attempt
            if attempt < self.config.retries:
                self.sleep(self._delay(name, attempt, wait))
        raise Failed(f"{reason}, tried {self.config.retries + 1} times", self.config.retries)

    def _try(self, body: bytes, attempt: int) -> tuple[Answer | None, float, str]:
        """The answer, or None with the seconds the endpoint asks to wait and the reason why there is none."""
        headers = {"Content-Type": "application/json", "Accept": "application/json"}
        if self._key is not None:
            headers["Authorization"] = f"Bearer {self._key}"
        try:
            reply = post(self.url, body, headers, self.config.timeout)
        except (OSError, HTTPException) as error:
            return None, 0.0, self._told(f"{type(error).__name__}: {error}")
        if reply.status == 200:
            answer = read_answer(reply.body)
            if answer is not None and answer.finish == FILTERED:
                raise Failed(f"an answer withheld (finish: {FILTERED})", attempt, refused=True)
            return answer, 0.0, self._told(f"an answer that is no chat completion: {error_text(reply)}")
        reason = self._told(f"status {reply.status}: {error_text(reply)}")
        if reply.status in HOPELESS:
            raise UserError(f"teacher openai: {self.url}: {reason}")
        if reply.status not in PASSING:
            raise Failed(reason, attempt, refused=True)
        if reply.wait > self.config.max_wait:
            raise UserError(
                f"teacher openai: {self.url}: {reason}; it asks to wait {reply.wait:.0f} s, more than "
                f"max_wait ({self.config.max_wait:g} s); what it answered so far is kept"
            )
        return None, reply.wait, reason

    def _delay(self, name: str, attempt: int, asked: float) -> float:
        """Seconds before the next try: doubling, up to half taken off at random, never less than asked."""
        jitter = random.Random(f"{self.seed}/{name}/{attempt}").uniform(0.5, 1.0)
        # The exponent is bounded so that any number of retries stays a float.
        delay = min(self.config.backoff * 2.0 ** min(attempt, 60), self.config.max_wait)
        return max(delay * jitter, asked)

    def _told(self, text: str) -> str:
        """An endpoint's own words on one line, without the key should they repeat it."""
        if self._key is not None:
            text = text.replace(self._key, "***")
        return " ".join(text.split())[:300]


def read_key(variable: str | None) -> str | None:
    """The key in an environment variable; `UserError` without one, none of which shows it."""
    if variable is None:
        return None
    key = os.environ.get(variable, "").strip()
    if not key:
        raise UserError(
            f"teacher openai: api_key_env: the environment variable {variable} holds no key "
            "(null for an endpoint that wants none)"
        )
    if not (key.isascii() and key.isprintable()):
        raise UserError(f"teacher openai: api_key_env: the key in {variable} holds signs no header may hold")
    return key


def read_answer(body: bytes) -> Answer | None:
    """The first choice of a chat completion; None if the body is not one.

    Of a text in parts, those that are no text (thoughts, such as Mistral's) are left out; a model that
    refuses in a field of its own has its answer withheld.
    """
    try:
        row = json.loads(body)
        choice = row["choices"][0]
        text, finish = choice["message"].get("content"), choice.get("finish_reason")
        if isinstance(text, list):
            text = "".join(part["text"] for part in text if part["type"] == "text")
        if not text and choice["message"].get("refusal"):
            finish = FILTERED
        usage = row.get("usage") or {}
        prompt, written = usage.get("prompt_tokens"), usage.get("completion_tokens")
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
        return None
    if not isinstance(text, str | None):
        return None
    counted = [count if isinstance(count, int) else 0 for count in (prompt, written)]
    return Answer(text or None, counted[0], counted[1], str(finish or ""))


def error_text(reply: Reply) -> str:
    """Return what an endpoint says went wrong."""
    try:
        error = json.loads(reply.body)["error"]
        return str(error["message"] if isinstance(error, dict) else error)
    except (ValueError, LookupError, TypeError, RecursionError):
        return reply.body[:200].decode("utf-8", "replace")
