"""Item text against strings written by hand."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lasar_kit.core.item_text import clean, item_text


@pytest.mark.parametrize(
    ("raw", "cleaned"),
    [
        ("  two\t\n words ", "two words"),
        ("Salt &amp; Pepper", "Salt & Pepper"),
        ("Salt &amp;amp; Pepper", "Salt & Pepper"),
        ("caf&eacute;&nbsp;noir", "café noir"),
        ("one<br/>two <b>three</b>", "one two three"),
        ("tubes < 5 mm > 3 mm", "tubes < 5 mm > 3 mm"),
        ("a<b and c>d", "a<b and c>d"),
        ("if x<y then z>0", "if x<y then z>0"),
        ("<a href='x y' target=_blank>here</a>", "here"),
        ('<td nowrap class="a">cell</TD>', "cell"),
        ("<img src=http://shop.example/a.jpg/>", ""),
        ("<script>var t = (new Date()).getTime();</script>", ""),
        ("&lt;SCRIPT type='x'&gt;if (a<b) c();&lt;/script &gt;after", "after"),
        ("<style type=text/css>.a {color: #000}</style>Body <!-- hidden <b>x</b> --> text", "Body text"),
        ("before <script> never closed", "before"),
        ("<sty<b>le>", "<sty le>"),
        ("x<a<b>href=1>y", "x y"),
        ("", ""),
    ],
)
def test_clean(raw: str, cleaned: str) -> None:
    assert clean(raw) == cleaned


@given(st.text())
def test_cleaning_leaves_single_spaces_only(raw: str) -> None:
    cleaned = clean(raw)
    assert cleaned == " ".join(cleaned.split())
    assert clean(cleaned) == cleaned


@given(st.lists(st.sampled_from(["<", ">", "b", "!--", "--", "script", "/", "=", " ", "&lt;", "&amp;", "'"])))
def test_what_is_cleaned_is_clean(parts: list[str]) -> None:
    cleaned = clean("".join(parts))
    assert clean(cleaned) == cleaned


def test_fields_are_joined_as_sentences(catalogue) -> None:
    items = catalogue(
        title=["Red Polish", "Really?", "", ""],
        brand=["OPI", "", "OPI", ""],
        categories=["Beauty, Nails", "Beauty", "", ""],
    )
    assert item_text(items, ["title", "brand", "categories"]) == [
        "Red Polish. OPI. Beauty, Nails",
        "Really? Beauty",
        "OPI",
        "",
    ]


def test_order_of_fields_is_kept(catalogue) -> None:
    items = catalogue(title=["a"], price=["3.04"])
    assert item_text(items, ["price", "title"]) == ["3.04. a"]


def test_no_items(catalogue) -> None:
    assert item_text(catalogue(), ["title"]) == []
