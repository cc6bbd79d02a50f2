"""Segments by headings."""

from __future__ import annotations

import re
from itertools import pairwise

from lasar_kit.core.reasoning.sentences import joined_evenly
from lasar_kit.core.reasoning.strip import STEP_HEADING
from lasar_kit.core.values import Env
from lasar_plugins.segmenters.config import StepSegmenterConfig

_START = re.compile(rf"^{STEP_HEADING}|(?<=[.!?] )step\s*\d+\s*:", re.IGNORECASE | re.MULTILINE)


class StepSegmenter:
    """A segment for each `Step k:`, heading included; what stands before the first belongs to it.

    A text without such headings is one segment.
    """

    def __init__(self, config: StepSegmenterConfig, env: Env) -> None:
        self.most = config.max_segments

    def segment(self, text: str) -> list[str]:
        starts = [found.start() for found in _START.finditer(text)]
        cuts = [0, *starts[1:], len(text)]
        parts = [text[a:b].strip() for a, b in pairwise(cuts)]
        return joined_evenly([part for part in parts if part], self.most, "\n")
