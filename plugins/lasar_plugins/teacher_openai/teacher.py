"""Texts by a chat endpoint: each question asked once, several at a time, every answer kept."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import asdict, dataclass

from lasar_kit.core.reasoning import ReasoningRequest
from lasar_kit.core.reasoning.prompt import messages
from lasar_kit.core.reasoning.strip import finished
from lasar_kit.core.values import Env
from lasar_kit.errors import UserError
from lasar_plugins.teacher_openai.cache import Answer, AnswerCache
from lasar_plugins.teacher_openai.client import ChatClient, Failed
from lasar_plugins.teacher_openai.config import OpenAiTeacherConfig


@dataclass
class Tally:
    """How a call of `write` stands. Counts are of requests, tokens and cost what this call spent."""

    total: int
    done: int = 0
    cached: int = 0
    failed: int = 0
    cut_off: int = 0
    retries: int = 0
    prompt_tokens: int = 0
    answer_tokens: int = 0
    cost: float = 0.0

    def numbers(self) -> dict[str, float]:
        return {name: float(value) for name, value in asdict(self).items()}


class OpenAiTeacher:
    """Asks for what the cache does not hold. A question that fails gives None; the next run asks it again."""

    def __init__(
        self, config: OpenAiTeacherConfig, env: Env, sleep: Callable[[float], object] | None = None
    ) -> None:
        self.config = config
        self.wants_target = config.show_target
        self.seed = env.seed
        self.report = env.report
        self.sleep = sleep

    def write(self, requests: Sequence[ReasoningRequest]) -> Iterator[tuple[int, str | None]]:
        """Texts as they come in, those of the cache first; equal questions share one answer."""
        cache = AnswerCache(self.config.cache)
        places: dict[str, list[int]] = {}
        for index, request in enumerate(requests):
            places.setdefault(self._key(self._body(request)), []).append(index)
        tally = Tally(total=len(requests))
        missing = []
        for key, indices in places.items():
            answer = cache.get(key)
            if answer is None:
                missing.append(key)
                continue
            tally.done += len(indices)
            tally.cached += len(indices)
            yield from self._texts(indices, answer)
        self.report(tally.numbers())
        bodies = ((key, self._body(requests[places[key][0]])) for key in missing)
        for key, answer in self._ask_all(bodies, cache, tally) if missing else ():
            tally.done += len(places[key])
            tally.failed += len(places[key]) * (answer is None)
            self.report(tally.numbers())
            yield from self._texts(places[key], answer)

    def _texts(self, indices: list[int], answer: Answer | None) -> Iterator[tuple[int, str | None]]:
        text = answer.text if answer else None
        text = finished(text, self.config.recommendation) if text else None
        return ((index, text) for index in indices)

    def _body(self, request: ReasoningRequest) -> bytes:
        """What is sent for a request; equal for equal questions."""
        instructions, question = messages(request, self.config.instructions, self.config.show_target)
        body = {
            **self.config.parameters,
            "model": self.config.model,
            "messages": [
                {"role": "system", "content": instructions},
                {"role": "user", "content": question},
            ],
        }
        return json.dumps(body, sort_keys=True).encode()

    def _key(self, body: bytes) -> str:
        """Hash of the endpoint and all that is sent to it, so that any change asks anew."""
        return hashlib.sha256(self.config.base_url.encode() + b"\0" + body).hexdigest()

    def _ask_all(
        self, bodies: Iterator[tuple[str, bytes]], cache: AnswerCache, tally: Tally
    ) -> Iterator[tuple[str, Answer | None]]:
        """Answers in the order in which they come in; `UserError` once the endpoint seems beyond help."""
        stop = threading.Event()
        client = ChatClient(self.config, self.seed, self.sleep or stop.wait)
        pool = ThreadPoolExecutor(self.config.concurrency, thread_name_prefix="teacher")
        running: dict[Future[tuple[Answer, int]], str] = {}
        failures, answered = 0, False  # failures in a row; whether anything was answered at all
        failure = Failed("")

        def ask(key: str, body: bytes) -> tuple[Answer, int]:
            if stop.is_set():
                raise Failed("stopped")
            answer, retries = client.ask(key, body)
            cache.put(key, answer)
            return answer, retries

        try:
            while True:
                while len(running) < self.config.concurrency and (following := next(bodies, None)):
                    running[pool.submit(ask, *following)] = following[0]
                if not running:
                    break
                for future in wait(running, return_when=FIRST_COMPLETED).done:
                    key = running.pop(future)
                    try:
                        answer, retries = future.result()
                    except Failed as error:
                        failures, failure = failures + 1, error
                        tally.retries += failure.retries
                        if failures >= self.config.max_failures:
                            raise self._beyond_help(failures, failure) from None
                        yield key, None
                        continue
                    failures, answered = 0, True
                    self._count(tally, answer, retries)
                    yield key, answer
            if failures and not answered:
                raise self._beyond_help(failures, failure)
        finally:
            # Answers under way are waited for and kept: they are paid for.
            stop.set()
            pool.shutdown(wait=True, cancel_futures=True)

    def _count(self, tally: Tally, answer: Answer, retries: int) -> None:
        tally.retries += retries
        tally.cut_off += answer.finish == "length"
        tally.prompt_tokens += answer.prompt_tokens
        tally.answer_tokens += answer.answer_tokens
        prices = self.config.price_input, self.config.price_output
        tally.cost += (answer.prompt_tokens * prices[0] + answer.answer_tokens * prices[1]) / 1e6

    def _beyond_help(self, failures: int, failure: Failed) -> UserError:
        return UserError(
            f"teacher openai: {self.config.base_url}: {failures} requests in a row failed, the last with "
            f"{failure}; what it answered so far is kept"
        )
