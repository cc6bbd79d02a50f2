"""Options of the local language model teacher."""

from __future__ import annotations

from pydantic import Field

from lasar_kit.core.reasoning.options import PromptedOptions
from lasar_kit.spec import SpecPath


class HfTeacherConfig(PromptedOptions):
    """Options of `hf`."""

    model: SpecPath = Field(
        description="Folder of a causal language model and its tokenizer, as transformers saves them."
    )
    max_new_tokens: int = Field(512, ge=1, description="Longest text, in tokens.")
    batch_size: int = Field(8, ge=1, description="Histories written about at once.")
