"""Options of the chat-endpoint teacher."""

from __future__ import annotations

from typing import Any, ClassVar
from urllib.parse import urlsplit

from pydantic import Field, field_validator

from lasar_kit.core.reasoning.options import PromptedOptions
from lasar_kit.spec import NewPath

_OWN = ("messages", "model", "n", "stream")


class OpenAiTeacherConfig(PromptedOptions):
    """Options of `openai`."""

    unkeyed: ClassVar[tuple[str, ...]] = (
        "cache",
        "api_key_env",
        "concurrency",
        "timeout",
        "retries",
        "backoff",
        "max_wait",
        "max_failures",
        "price_input",
        "price_output",
    )

    base_url: str = Field(
        description="Address of the endpoint without `/chat/completions`, such as `http://127.0.0.1:8000/v1`."
    )
    model: str = Field(min_length=1, description="Name of the model, as the endpoint knows it.")
    cache: NewPath = Field(
        description="Folder that keeps every answer; a run that was cut off goes on there."
    )
    api_key_env: str | None = Field(
        "OPENAI_API_KEY",
        description="Environment variable that holds the key; null for an endpoint that wants none.",
    )
    parameters: dict[str, Any] = Field(
        default_factory=dict,
        description="Further fields of a request, such as `temperature` or `max_completion_tokens`.",
    )
    concurrency: int = Field(8, ge=1, le=256, description="Requests under way at once.")
    timeout: float = Field(120.0, gt=0, description="Seconds a request may take.")
    retries: int = Field(5, ge=0, description="Further tries of a request that failed for a passing reason.")
    backoff: float = Field(
        1.0,
        gt=0,
        description="Seconds before the first retry, up to half of it taken off at random; doubles.",
    )
    max_wait: float = Field(
        120.0, gt=0, description="Longest wait in seconds; an endpoint that asks for more ends the run."
    )
    max_failures: int = Field(
        10, ge=1, description="Requests that may fail in a row, or all of fewer, before the run ends."
    )
    failed_share: float = Field(
        0.0,
        ge=0,
        le=1,
        description="Share of the requests asked that may fail, whose histories then have no text. If more "
        "do, the run ends when all have been asked, and the next one asks those again.",
    )
    price_input: float = Field(0.0, ge=0, description="Price of a million prompt tokens.")
    price_output: float = Field(0.0, ge=0, description="Price of a million answer tokens.")

    @field_validator("base_url")
    @classmethod
    def _address(cls, base_url: str) -> str:
        try:
            parts = urlsplit(base_url)
            sound = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
        except ValueError:
            sound = False
        if not sound or any(sign.isspace() for sign in base_url):
            raise ValueError("must be an http or https address")
        if "@" in parts.netloc or parts.query or parts.fragment:
            raise ValueError("must hold no user, password or query; a key belongs in the environment")
        return str(base_url.rstrip("/"))

    @field_validator("parameters")
    @classmethod
    def _not_ours(cls, parameters: dict[str, Any]) -> dict[str, Any]:
        for name in _OWN:
            if name in parameters:
                raise ValueError(f"must not hold {name!r}, which the teacher sets")
        return parameters
