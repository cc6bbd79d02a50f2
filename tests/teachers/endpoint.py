"""A chat endpoint on this machine that also fails, stalls and limits its rate."""

from __future__ import annotations

import threading

from lasar_kit.core.reasoning import ReasoningItem, ReasoningRequest

KEY = "sk-secret-0123456789"
STALL, HANG_UP, CUT_SHORT = "stall", "hang up", "cut short"
Planned = tuple[int | str, object, dict[str, str]]


def requests(*titles: str) -> list[ReasoningRequest]:
    target = ReasoningItem("Rose Toner", "Kiehl", "Toners", "77")
    return [ReasoningRequest(f"u{n}", 1, (ReasoningItem(title),), target) for n, title in enumerate(titles)]


def completion(text: str | None, finish: str = "stop") -> dict[str, object]:
    usage = {"prompt_tokens": 100, "completion_tokens": 20, "total_tokens": 120}
    return {
        "choices": [{"message": {"role": "assistant", "content": text}, "finish_reason": finish}],
        "usage": usage,
    }


class Endpoint:
    """A chat endpoint. `plan` holds the next replies as (status, body, headers); once it is empty, the answer
    is "Step 1: Likes <title>." and a recommendation."""

    def __init__(self) -> None:
        self.plan: list[Planned] = []
        self.asked: list[dict] = []
        self.headers: list[dict[str, str]] = []
        self.paths: list[str] = []
        self.most_at_once = self.at_once = 0
        self.gate: threading.Barrier | None = None
        self.over = threading.Event()
        self.lock = threading.Lock()
        self.outlasted = False  # whether a stalled request was still waited for when the server gave up
        self.url = ""

    def reply(self, body: dict) -> Planned:
        if self.plan:
            return self.plan.pop(0)
        title = body["messages"][1]["content"].split("1. ", 1)[1]
        return 200, completion(f"Step 1: Likes {title}.\nRecommendation: <a_1><b_2>"), {}
