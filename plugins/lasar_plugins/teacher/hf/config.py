"""Options of the language model teacher."""

from __future__ import annotations

from typing import Self

from pydantic import Field, model_validator

from lasar_kit.core.model_name import FolderOrHubId, Revision, check_revision
from lasar_kit.core.reasoning.options import PromptedOptions


class HfTeacherConfig(PromptedOptions):
    """Options of `hf`."""

    model: FolderOrHubId = Field(
        description="Folder of a causal language model and its tokenizer, as transformers saves them, or its "
        "id on the hub.",
        min_length=1,
    )
    revision: Revision = None
    max_new_tokens: int = Field(512, ge=1, description="Longest text, in tokens.")
    batch_size: int = Field(8, ge=1, description="Histories written about at once.")

    @model_validator(mode="after")
    def _of_the_hub(self) -> Self:
        check_revision(self.model, self.revision)
        return self
