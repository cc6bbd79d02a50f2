"""Written reasoning as token ids between prompt and answer."""

from __future__ import annotations

import json
from pathlib import Path

from lasar_kit.core.words import Words
from lasar_kit.data.anchor_store import TEXTS
from lasar_kit.data.rationales import Rationales
from lasar_kit.testing.tiny import TinyTokenizer

TOKENIZER = TinyTokenizer(("<pad>", "<bos>", "<eos>", "red", "dry", "hair", "<a_0>"))


def test_texts_stand_at_the_place_of_the_item_they_lead_to(tmp_path: Path) -> None:
    """Cut to the longest allowed; SIDs and special tokens are no words; -1 where there is no text."""
    lines = [
        {"user": "v", "end": 2, "text": "dry <a_0> hair red"},
        {"user": "u", "end": 1, "text": "hair"},
    ]
    (tmp_path / TEXTS).write_text("".join(json.dumps(line) + "\n" for line in lines))
    found = Rationales(tmp_path, ("u", "v"), Words(TOKENIZER, ("<a_0>",)), 2)
    batch = found.batch([[(1, 1), (1, 2)], [(0, 1)]], 2)
    assert batch.tolist() == [[[-1, -1], [4, 5]], [[5, -1], [-1, -1]]]
