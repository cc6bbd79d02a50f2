"""Options of the anchors stage; imports no torch."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, ClassVar, Literal

from pydantic import Field, model_validator

from lasar_kit.spec import BackboneConfig, ComponentConfig, StageConfig, TeacherConfig, component
from lasar_kit.spec.precision import Precision
from lasar_kit.train.config import Inputs, Line, PromptRule


class AnchorsConfig(StageConfig):
    """A teacher's reasoning as anchors for alignment."""

    consumes: ClassVar[tuple[str, ...]] = ("dataset", "sids", "checkpoint")
    produces: ClassVar[str] = "anchors"
    sharded: ClassVar[bool] = True
    reads: ClassVar[tuple[str, ...]] = ("seed", "max_history")

    teacher: Annotated[TeacherConfig, component("teacher")] = Field(
        "template", description="Writes the reasoning.", validate_default=True
    )
    segmenter: Annotated[ComponentConfig, component("segmenter")] = Field(
        "steps", description="Cuts it into segments.", validate_default=True
    )
    reader: Annotated[BackboneConfig | None, component("backbone")] = Field(
        None,
        description="A pretrained language model that reads the segments, its states fitted to the width of "
        "the model that will think; the model of the checkpoint when absent.",
    )
    context: Literal["segment_only", "cumulative", "prompt_prefixed"] = Field(
        "segment_only",
        description="What a segment is read behind: nothing, earlier segments, or these and the prompt.",
    )
    question: str = Field(
        "",
        description="Read behind each segment, before its state is taken. With the question of the task "
        "text_to_sid, ``\\nID of the item: ``, a state predicts the item that the segment speaks of.",
    )
    max_segments: int = Field(8, ge=1, description="Segments of a text, the first ones kept.")
    samples: PromptRule = Field(
        "sliding",
        description="Which training prompts to reason about: every prefix of a user's training part, or the "
        "longest alone; best those that the stages behind train on.",
    )
    max_samples: int = Field(
        0, ge=0, description="Training prompts to reason about, drawn by the seed; 0 for all."
    )
    batch_tokens: int = Field(8192, ge=1, description="Tokens read at once.")
    precision: Precision = Field("fp32", description="Of the reading of segments.")
    dtype: Literal["float16", "float32"] = Field(
        "float16", description="Of the stored states; what float16 cannot hold is an error."
    )

    @property
    def prompts_about(self) -> str:
        """Its `samples`."""
        return self.samples

    @property
    def own_reader(self) -> ComponentConfig | None:
        """Its `reader`."""
        return self.reader

    @model_validator(mode="after")
    def _another_reader_knows_words(self) -> AnchorsConfig:
        if self.reader is None:
            return self
        name = self.reader.use
        if self.reader.from_scratch or not (self.reader.causal and self.reader.reads_text):
            raise ValueError(f"reader {name} has read no text; name a pretrained language model")
        if not self.teacher.plain_text:
            raise ValueError(f"reader {name} cannot read what teacher {self.teacher.use} writes: no words")
        if self.context == "prompt_prefixed":
            raise ValueError(f"reader {name} knows no semantic IDs, which context prompt_prefixed needs")
        return self

    def cautions(self, backbone: BackboneConfig, line: Line, inputs: Inputs) -> Iterator[str]:
        """States of texts mean nothing where the backbone has never seen text."""
        if not backbone.from_scratch or not self.teacher.plain_text or self.reader is not None:
            return
        if not backbone.reads_text:
            yield (
                f"backbone {backbone.use} has no words, so its states of the teacher's texts mean nothing; "
                "name a 'reader', a pretrained language model"
            )
            return
        names = []
        for name, stage in line:
            if stage.trains_text:
                return
            names.append(name)
            if stage.begins_anew:
                break
        yield (
            f"the backbone is from scratch and saw no text in {' and '.join(map(repr, reversed(names)))}, so "
            f"its states of the teacher's texts mean little; add 'text: {{weight: 0.2}}' to "
            f"stages.{names[-1]}, or name a 'pretrained' backbone"
        )
