"""Segments by sentences."""

from __future__ import annotations

from lasar_kit.core.reasoning.sentences import joined_evenly, sentences
from lasar_kit.core.values import Env
from lasar_plugins.segmenter.standard.config import SentenceSegmenterConfig


class SentenceSegmenter:
    """A segment a sentence; where there are too many, neighbours are joined evenly."""

    def __init__(self, config: SentenceSegmenterConfig, env: Env) -> None:
        self.most = config.max_segments

    def segment(self, text: str) -> list[str]:
        return joined_evenly(sentences(text), self.most, " ")
