"""Texts by a chat endpoint: each question asked once, several at a time, every answer kept."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import closing
from dataclasses import asdict, dataclass

from lasar_kit.core.reasoning import ReasoningRequest
from lasar_kit.core.reasoning.answer import finished, without_thoughts
from lasar_kit.core.reasoning.prompt import messages, told_title
from lasar_kit.core.values import Env
from lasar_kit.errors import UserError
from lasar_plugins.teacher.openai.cache import Answer, AnswerCache
from lasar_plugins.teacher.openai.client import ChatClient, Empty, Failed
from lasar_plugins.teacher.openai.config import OpenAiTeacherConfig


@dataclass
class Tally:
    """How a call of `write` stands. Counts are of requests, tokens and cost what this call spent."""

    total: int
    done: int = 0
    cached: int = 0
    failed: int = 0
    empty: int = 0
    refused: int = 0
    cut_off: int = 0
    retries: int = 0
    prompt_tokens: int = 0
    answer_tokens: int = 0
    cost: float = 0.0

    def numbers(self) -> dict[str, float]:
        return {name: float(value) for name, value in asdict(self).items()}


class OpenAiTeacher:
    """Asks for what the cache does not hold.

    A question that the endpoint refuses gives None. So does one that fails, and where more do than may, all
    ends in a `UserError`: the next run asks these again, and no others.
    """

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
            if answer is None or _empty(answer):  # kept by an older version
                missing.append(key)
                continue
            tally.done += len(indices)
            tally.cached += len(indices)
            yield from self._texts(requests, indices, answer)
        self.report(tally.numbers())
        bodies = ((key, self._body(requests[places[key][0]])) for key in missing)
        last = Failed("")
        for key, outcome in self._ask_all(bodies, cache, tally) if missing else ():
            tally.done += len(places[key])
            if isinstance(outcome, Failed):
                tally.refused += len(places[key]) * outcome.refused
                tally.failed += len(places[key]) * (not outcome.refused)
                tally.empty += len(places[key]) * isinstance(outcome, Empty)
                last = last if outcome.refused else outcome
            self.report(tally.numbers())
            yield from self._texts(requests, places[key], outcome)
        if tally.failed > self.config.failed_share * tally.total:
            raise UserError(
                f"teacher openai: {self.config.base_url}: {tally.failed} of {tally.total} requests failed, "
                f"the last with {last}; {self._advice(tally.empty)}run again to ask them, or let "
                f"'failed_share' leave them without text; {cache.path} keeps the other answers"
            )

    def _texts(
        self, requests: Sequence[ReasoningRequest], indices: list[int], answer: Answer | Failed
    ) -> Iterator[tuple[int, str | None]]:
        text = answer.text if isinstance(answer, Answer) else None
        shown = told_title(requests[indices[0]], self.config.show_target)  # equal questions tell of one item
        text = finished(text, self.config.recommendation, title=shown) if text else None
        return ((index, text) for index in indices)

    def _body(self, request: ReasoningRequest) -> bytes:
        """Return what is sent for a request; equal for equal questions."""
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
    ) -> Iterator[tuple[str, Answer | Failed]]:
        """Yield each question's answer as it comes; raise `UserError` once the endpoint seems beyond help."""
        failures, answered = 0, bool(tally.cached)  # failures in a row; whether anything was answered at all
        last = Failed("")
        with closing(self._outcomes(bodies, cache)) as outcomes:
            for key, outcome, retries in outcomes:
                tally.retries += retries
                if isinstance(outcome, Failed):
                    failures, last = failures + 1, outcome
                    if isinstance(outcome, Empty):
                        self._count(tally, outcome.answer)
                    # An endpoint that answers now and then is there, whatever it leaves empty.
                    if failures >= self.config.max_failures and not (isinstance(last, Empty) and answered):
                        raise self._beyond_help(failures, last, cache)
                else:
                    failures, answered = 0, True
                    self._count(tally, outcome)
                yield key, outcome
        if failures and not answered:
            raise self._beyond_help(failures, last, cache)

    def _outcomes(
        self, bodies: Iterator[tuple[str, bytes]], cache: AnswerCache
    ) -> Generator[tuple[str, Answer | Failed, int], None, None]:
        """Several at a time: what came of each question, and how often it was asked again."""
        stop = threading.Event()
        client = ChatClient(self.config, self.seed, stop, self.sleep)
        pool = ThreadPoolExecutor(self.config.concurrency, thread_name_prefix="teacher")
        running: set[Future[tuple[str, Answer | Failed, int]]] = set()

        def ask(key: str, body: bytes) -> tuple[str, Answer | Failed, int]:
            try:
                answer, retries = client.ask(key, body)
            except Failed as error:
                return key, error, error.retries
            if _empty(answer):
                return key, Empty(answer, retries), retries
            cache.put(key, answer)
            return key, answer, retries

        try:
            while True:
                while len(running) < self.config.concurrency and (following := next(bodies, None)):
                    running.add(pool.submit(ask, *following))
                if not running:
                    break
                done, running = wait(running, return_when=FIRST_COMPLETED)
                yield from (future.result() for future in done)
        finally:
            # Answers under way are waited for and kept: they are paid for.
            stop.set()
            pool.shutdown(wait=True, cancel_futures=True)

    def _count(self, tally: Tally, answer: Answer) -> None:
        tally.cut_off += answer.finish == "length"
        tally.prompt_tokens += answer.prompt_tokens
        tally.answer_tokens += answer.answer_tokens
        prices = self.config.price_input, self.config.price_output
        tally.cost += (answer.prompt_tokens * prices[0] + answer.answer_tokens * prices[1]) / 1e6

    def _beyond_help(self, failures: int, failure: Failed, cache: AnswerCache) -> UserError:
        return UserError(
            f"teacher openai: {self.config.base_url}: {failures} requests in a row failed, the last with "
            f"{failure}; {self._advice(isinstance(failure, Empty))}what it answered so far is kept in "
            f"{cache.path}"
        )

    def _advice(self, empty: int) -> str:
        """Advise what to do about answers that are empty."""
        if not empty:
            return ""
        return "raise the token limit in 'parameters', or have the model not think; "


def _empty(answer: Answer) -> bool:
    return not without_thoughts(answer.text or "")
