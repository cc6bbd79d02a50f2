"""Options of the language model teacher."""

from __future__ import annotations

from typing import Any, Self

from pydantic import Field, field_validator, model_validator

from lasar_kit.core.model_name import FolderOrHubId, GgufFile, Revision, check_gguf_file, check_revision
from lasar_kit.core.reasoning.options import PromptedOptions

_OWN = ("add_generation_prompt", "conversation", "messages", "tokenize")


class HfTeacherConfig(PromptedOptions):
    """Options of `hf`."""

    model: FolderOrHubId = Field(
        description="Folder of a causal language model and its tokenizer, as transformers saves them, its "
        "GGUF file, its id on the hub, or `package:` and the name of an installed package that carries one.",
        min_length=1,
    )
    revision: Revision = None
    gguf_file: GgufFile = None
    chat_template_kwargs: dict[str, Any] = Field(
        default_factory=dict,
        description="Variables of the tokenizer's chat template, such as `enable_thinking: false`.",
    )
    max_new_tokens: int = Field(512, ge=1, description="Longest text, in tokens.")
    batch_size: int = Field(8, ge=1, description="Histories written about at once.")

    @field_validator("chat_template_kwargs")
    @classmethod
    def _not_ours(cls, given: dict[str, Any]) -> dict[str, Any]:
        for name in _OWN:
            if name in given:
                raise ValueError(f"must not hold {name!r}, which the teacher sets")
        return given

    @model_validator(mode="after")
    def _of_the_hub(self) -> Self:
        check_revision(self.model, self.revision)
        check_gguf_file(self.model, self.gguf_file)
        return self
