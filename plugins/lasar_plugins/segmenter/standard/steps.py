"""Segments by headings."""

from __future__ import annotations

import re
from itertools import pairwise

from lasar_kit.core.reasoning.sentences import joined_evenly
from lasar_kit.core.reasoning.strip import STEP, STEP_HEADING
from lasar_kit.core.values import Env
from lasar_plugins.segmenter.standard.config import StepSegmenterConfig

_START = re.compile(rf"^{STEP_HEADING}|(?<=[.!?] ){STEP}\s*:", re.IGNORECASE | re.MULTILINE)
_NUMBER = re.compile(r"(?:^[#>*_\-\s]*|(?<=[.!?:] ))(\d+)[*_]*[.)][*_]*\s", re.MULTILINE)


class StepSegmenter:
    """A segment for each `Step k:`, heading included; what stands before the first belongs to it.

    Without such headings a list's numbers, counting from 1, serve as headings; without these a text is one
    segment.
    """

    def __init__(self, config: StepSegmenterConfig, env: Env) -> None:
        self.most = config.max_segments

    def segment(self, text: str) -> list[str]:
        starts = [start.start() for start in _START.finditer(text)] or _counted(text)
        cuts = [0, *starts[1:], len(text)]
        parts = [text[a:b].strip() for a, b in pairwise(cuts)]
        return joined_evenly([part for part in parts if part], self.most, "\n")


def _counted(text: str) -> list[int]:
    """Where the numbers 1, 2, 3, … of a list stand; others are passed over."""
    starts: list[int] = []
    for number in _NUMBER.finditer(text):
        if int(number[1]) == len(starts) + 1:
            starts.append(number.start())
    return starts
