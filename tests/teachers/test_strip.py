"""Taking the answer out of a teacher's text."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lasar_kit.core.reasoning import strip_recommendation
from lasar_kit.core.reasoning.answer import finished, without_title

PAPER = """Step 1: Extraction of Behavioral Evidence
Product types: Hydrating serum (hyaluronic acid), facial oils.
Step 2: Modeling of Latent Preferences
Natural, clean, and gentle formulations.
Step 3: Inference of User Intent and Goal Formulation
The next logical addition is a gentle, natural cleanser."""


def test_the_papers_example_loses_its_last_line_and_nothing_else() -> None:
    assert strip_recommendation(PAPER + "\nRecommendation: <a_125|><b_109|><c_135|><d_125|>\n") == PAPER
    assert strip_recommendation(PAPER) == PAPER


@pytest.mark.parametrize(
    "line",
    [
        "Recommendation: <a_1><b_2>",
        "**Recommendation:** Rose Toner 200 ml",
        "**Recommendation**: Rose Toner 200 ml",
        "- Final recommendation: Rose Toner",
        "### Recommendations",
        "Step 4: Recommendation: Rose Toner",
        "5. Recommended next item: Rose Toner",
        "Next item: Rose Toner",
        "Predicted next product: Rose Toner",
        "Prediction: Yes",
        "<|a_1|><|b_2|><|c_3|>",
        "- <a_1>, <b_2>.",
    ],
)
def test_lines_that_go(line: str) -> None:
    assert strip_recommendation(f"Likes oils.\n{line}") == "Likes oils."
    assert strip_recommendation(f"{line}\n\nStep 2: Likes oils.") == "Step 2: Likes oils."


@pytest.mark.parametrize(
    "line",
    [
        "Step 4: Recommendation formulation",
        "Recommendations by friends matter to this customer.",
        "The next item to look for is a toner.",
        "Answer: 1. The customer likes oils.",
        "Sizes <A_1> and a_1 and <a_b> are kept.",
    ],
)
def test_lines_that_stay(line: str) -> None:
    assert strip_recommendation(f"{line}\nMore.") == f"{line}\nMore."


def test_a_bare_label_takes_its_paragraph_along() -> None:
    text = "One.\nRecommendation:\n\nRose Toner\nby Alba\n\nStep 5: Denoised\nToner, oil."
    assert strip_recommendation(text) == "One.\n\nStep 5: Denoised\nToner, oil."
    assert strip_recommendation("Recommendation:\nRose Toner\n\nTwo.") == "Two."
    assert strip_recommendation("Recommendation: <a_1>\nTwo.") == "Two."


def test_a_recommendation_within_a_line() -> None:
    text = "Step 1: Likes oils. Recommendation: Rose Toner. Step 2: Buys often."
    assert strip_recommendation(text) == "Step 1: Likes oils. Step 2: Buys often."
    assert strip_recommendation("Likes oils. Next item: Rose Toner.") == "Likes oils."
    assert strip_recommendation("Bought <a_1><b_2>, <a_1><b_3> and soap.") == "Bought, and soap."


@given(
    st.lists(
        st.sampled_from(
            [
                "Recommendation",
                ":",
                " ",
                "\n",
                "\n\n",
                "Step 2:",
                "<a_1>",
                "<|b_22|>",
                "<a_",
                "1>",
                "Oil.",
                "*",
            ]
        ),
        max_size=14,
    ).map("".join)
)
def test_no_sid_survives_and_once_is_enough(text: str) -> None:
    stripped = strip_recommendation(text)
    assert not re.search(r"<\|?[a-z]_\d+\|?>", stripped)
    assert strip_recommendation(stripped) == stripped
    rest = iter(text)
    assert all(sign in rest for sign in stripped), "something was added or moved"


def test_real_texts_lose_their_verdict_alone(real_data: Path) -> None:
    file = real_data / "cot" / "reasoningrec" / "beauty_wo_profile_train.json"
    texts = {row["output"] for row in json.loads(file.read_text(encoding="utf-8"))}
    seen = 0
    for text in texts:
        if re.match(r"Prediction: (Yes|No) *\n", text):
            seen += 1
            assert strip_recommendation(text) == text.split("\n", 1)[1].strip()
    assert seen > 300


def test_finished() -> None:
    text = "<think>It is <a_1>.\nLikes soap.</think>\n\nLikes oils.\nRecommendation: <a_1>"
    assert finished(text, "strip") == "Likes oils."
    assert finished(text, "keep") == "Likes oils.\nRecommendation: <a_1>"
    assert finished("Recommendation: <a_1>", "strip") is None
    assert finished("  ", "keep") is None


def test_thoughts_that_never_close_are_no_reasoning() -> None:
    assert finished("<think>It is <a_1>. Likes soap", "strip") is None
    assert finished("<think>a</think>Likes oils.<think>b", "keep") is None
    assert finished("It must be Rose Toner", "strip", thinking=True) is None
    assert finished("It is soap.</think> Likes oils.", "strip", thinking=True) == "Likes oils."
    assert finished("Likes oils.", "strip") == "Likes oils."


@pytest.mark.parametrize(
    "thoughts",
    [
        *(f"<{tag}>Soap?\nIt is <a_1>.</{tag}>" for tag in ("think", "thinking", "THINK", "reasoning")),
        "[THINK]Soap?[/THINK]",
        "<seed:think>Soap?</seed:think>",
        "◁think▷Soap?◁/think▷",
        "Soap?</thinking>",
        "<|channel|>analysis<|message|>Soap?<|end|><|start|>assistant<|channel|>final<|message|>",
        "<|channel|>commentary<|message|>Soap?<|end|><|channel|>final <|constrain|>x<|message|>",
        "analysisSoap? We need to answer.assistantfinal",
    ],
)
def test_thoughts_in_every_dress_go(thoughts: str) -> None:
    assert finished(thoughts + "Likes oils.\nStep 2: Analysis.", "keep") == "Likes oils.\nStep 2: Analysis."


def test_what_follows_the_last_channel_goes() -> None:
    assert finished("<|channel|>final<|message|>Likes oils.<|return|>", "keep") == "Likes oils."


@pytest.mark.parametrize(
    "text", ["<thinking>Soap", "<|channel|>analysis<|message|>Soap", "[THINK]", "a</think><think>b"]
)
def test_thoughts_in_any_dress_that_never_close_are_no_reasoning(text: str) -> None:
    assert finished(text, "keep") is None


def test_words_that_only_look_like_thoughts_stay() -> None:
    text = "Analysis of taste: <b>thinks</b> of soap. Final: likes <thinker> and think."
    assert finished(text, "keep") == text


def test_half_a_surrogate_pair_becomes_a_question_mark() -> None:
    assert finished("Soap \ud83d.", "strip") == "Soap ?."


def test_sentences_that_name_the_target_go() -> None:
    text = "Step 1: Likes oils. So the next item would be foo\u00a0 SERUM.\nStep 2: Foo Serums are dear."
    assert finished(text, "strip", title="Foo Serum") == "Step 1: Likes oils.\nStep 2: Foo Serums are dear."
    assert finished(text, "keep", title="Foo Serum") == text
    assert finished("Buys Foo Serum.", "strip", title="Foo Serum") is None
    assert without_title("Costs 4.50 (a lot). Likes A+B (x).", "A+B (x)") == "Costs 4.50 (a lot)."
    assert without_title("Likes soap & oil.", "Soap &amp; Oil") == ""
    assert without_title("  As it was.  \n\n x", "") == "  As it was.  \n\n x"
