"""The three that read folders of saved models."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import polars as pl

from lasar_kit.core.dataset import Sequences
from lasar_kit.core.reasoning import ReasoningItem, ReasoningRequest
from lasar_kit.core.values import Env
from lasar_plugins.backbone.qwen3.backbone import Qwen3Backbone
from lasar_plugins.backbone.qwen3.config import Qwen3Config as BackboneConfig
from lasar_plugins.teacher.hf.config import HfTeacherConfig
from lasar_plugins.teacher.hf.teacher import HfTeacher
from lasar_plugins.text_encoder.sentence_transformer.config import SentenceTransformerConfig
from lasar_plugins.text_encoder.sentence_transformer.encoder import SentenceTransformerEncoder


def read(reader: str, folder: Path) -> Any:
    """Read a folder: a backbone, texts of a teacher, or vectors."""
    if reader == "backbone":
        vocabulary = ("<a_0>", "<b_0>")
        return Qwen3Backbone(BackboneConfig(use="qwen3", pretrained=str(folder)), Env(vocabulary=vocabulary))
    if reader == "teacher":
        asked = [ReasoningRequest("a", n, (ReasoningItem("soap" * n),)) for n in (1, 2)]
        teacher = HfTeacher(HfTeacherConfig(use="hf", model=folder, max_new_tokens=2), Env())
        return [text for _, text in teacher.write(asked)]
    items = pl.DataFrame({"id": ["a", "b"], "title": ["soap", "oil"]})
    encoder = SentenceTransformerEncoder(
        SentenceTransformerConfig(use="sentence_transformer", model=str(folder), fields=["title"]), Env()
    )
    return encoder.encode(items, Sequences.of([]))
