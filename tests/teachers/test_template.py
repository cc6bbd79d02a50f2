"""The template teacher: what it writes, and how much of it."""

from __future__ import annotations

import dataclasses
import json
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import spearmanr

from lasar_kit.core.reasoning import ReasoningItem, ReasoningRequest, strip_recommendation
from lasar_kit.core.values import Env
from lasar_plugins.segmenter.standard.config import StepSegmenterConfig
from lasar_plugins.segmenter.standard.steps import StepSegmenter
from lasar_plugins.teacher.template.config import TemplateTeacherConfig
from lasar_plugins.teacher.template.teacher import TemplateTeacher

POLISH = "Beauty, Makeup, Nails, Nail Polish"


def write(*requests: ReasoningRequest) -> list[str | None]:
    teacher = TemplateTeacher(TemplateTeacherConfig(use="template"), Env())
    answers = list(teacher.write(requests))
    assert [index for index, _ in answers] == list(range(len(requests)))
    return [text for _, text in answers]


def headings(text: str | None) -> list[str]:
    assert text is not None
    return [line.split(": ", 1)[1] for line in text.splitlines()[::2]]


def test_all_eight_steps_of_a_history(shopper: ReasoningRequest) -> None:
    # Beauty is shared by all and says nothing, so the groups are Makeup (5 items) and Hair Care. Prices are
    # 3, 4, 40, 3, 8, 12 with median 6; those of the halves are 4 and 8, that of the last three is 8.
    (text,) = write(shopper)
    assert text == (
        "Step 1: Behavioral evidence, what was bought\n"
        "Product types: Nail Polish (3), Dryers, Base Coats, Lip Glosses. "
        "The latest purchases are “Red Shatter”, “Base Coat”, “Lip Gloss”.\n"
        "Step 2: Behavioral evidence, brands\n"
        "Brands: OPI (4), NYX. OPI was bought again.\n"
        "Step 3: Behavioral evidence, prices\n"
        "Prices run from 3.00 to 40.00, half of them up to 6.00.\n"
        "Step 4: Latent preferences, tastes\n"
        "The customer cares most for Makeup, 5 of 6 purchases, "
        "in particular Nail Polish, Base Coats, Lip Glosses.\n"
        "Step 5: Latent preferences, habits\n"
        "There is a clear loyalty to OPI. "
        "Spending rises, from about 4.00 an item to about 8.00.\n"
        "Step 6: User intent\n"
        "The last purchases stay with Makeup: the customer is completing what there is of it.\n"
        "Step 7: Recommendation formulation\n"
        "What fits next belongs to Makeup or goes with it, preferably by OPI, at about 8.00.\n"
        "Step 8: Denoised sequence\n"
        "Without “Hair Dryer”, “Red Shatter” the sequence reads "
        "Nail Polish → Nail Polish → Base Coats → Lip Glosses."
    )


def test_what_gives_ground_for_each_step(history) -> None:
    what, brands, prices, tastes, habits, intent, formulation, denoised = (
        "Behavioral evidence, what was bought",
        "Behavioral evidence, brands",
        "Behavioral evidence, prices",
        "Latent preferences, tastes",
        "Latent preferences, habits",
        "User intent",
        "Recommendation formulation",
        "Denoised sequence",
    )
    titles = ("a", "b", "c", "d")
    cases = [
        ([("soap",)], [what]),
        ([("soap", "Alba", "Bath", "3")], [what]),
        ([("a",), ("b",)], [what]),
        ([("a", "X"), ("b", "Unknown")], [what]),
        ([("a", "X"), ("b", "Y")], [what, brands]),
        ([("a", "X"), ("b", "X")], [what, brands]),
        ([(t, "", "", "5") for t in titles[:2]], [what]),
        ([(t, "", "", "5") for t in titles[:3]], [what, prices]),
        ([(t, "", "", "5") for t in titles], [what, prices]),
        ([(t, "", "", p) for t, p in zip(titles, "4499", strict=True)], [what, prices, habits]),
        ([(t, "", "", p) for t, p in zip(titles, "9944", strict=True)], [what, prices, habits]),
        ([("a", "", "Bath, Soap"), ("b", "", "Face, Oil")], [what, formulation]),
        ([("a", "", "Bath, Soap"), ("b", "", "Bath, Soap")], [what, tastes, formulation]),
        ([(t, "", c) for t, c in zip("abc", "XYZ", strict=True)], [what, intent, formulation]),
        ([("a", "X")] * 3, [what, brands, habits, denoised]),
        ([("", "", "Bath"), ("", "", "Face")], [what, formulation]),
    ]
    for items, expected in cases:
        assert headings(write(history(*items))[0]) == expected, items


@pytest.mark.parametrize(
    ("groups", "sentence"),
    [
        ("XYY", "The last purchases stay with Y"),
        ("XYX", "The customer returns to X after Y"),
        ("XYZ", "The customer turns from Y to Z"),
    ],
)
def test_where_a_history_leads(history, groups: str, sentence: str) -> None:
    (text,) = write(history(*[(str(n), "", f"{group}, kind") for n, group in enumerate(groups)]))
    assert text is not None
    assert sentence in text


def test_no_text_without_any_text(history) -> None:
    assert write(history(("", "OPI", "", "3")), history(("a",)), history()) == [
        None,
        "Step 1: Behavioral evidence, what was bought\nThe only purchase is “a”.",
        None,
    ]


def test_the_target_changes_nothing(shopper: ReasoningRequest) -> None:
    told = dataclasses.replace(shopper, target=ReasoningItem("Rose Toner", "Kiehl", "Toners", "77"))
    assert write(told) == write(shopper) == write(shopper)
    assert not TemplateTeacher.wants_target


def test_real_histories_get_one_to_eight_steps_more_the_longer_they_are(real_data: Path) -> None:
    folder = real_data / "beauty"
    table = json.loads((folder / "Beauty.item.json").read_text(encoding="utf-8"))
    sequences = json.loads((folder / "Beauty.inter.json").read_text(encoding="utf-8"))
    fields = ("title", "brand", "categories", "price")
    items = {key: ReasoningItem(*(row[field] for field in fields)) for key, row in table.items()}
    requests = [
        ReasoningRequest(user, end, tuple(items[str(item)] for item in row[max(0, end - 20) : end]))
        for user, row in list(sequences.items())[:600]
        for end in (1, len(row) - 3)
    ]
    texts = write(*requests)
    segmenter = StepSegmenter(StepSegmenterConfig(use="steps"), Env())
    counts = [len(segmenter.segment(text or "")) for text in texts]
    assert set(counts) == set(range(1, 9))
    assert [text is not None and text.count("\nStep") + 1 for text in texts] == counts
    assert max(Counter(counts).values()) < 0.6 * len(counts)
    lengths = [len(request.history) for request in requests]
    assert spearmanr(lengths, counts).statistic > 0.7
    variety = [len({item.categories for item in request.history}) for request in requests]
    long = np.array(lengths) >= 4
    assert spearmanr(np.array(variety)[long], np.array(counts)[long]).statistic > 0.2
    assert all(text is None or strip_recommendation(text) == text for text in texts)
