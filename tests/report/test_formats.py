"""Tables in every format, and which of a column's numbers is marked."""

import csv
import io

import pytest

from lasar_kit.report.formats import Format, as_csv, latex, markdown, show
from lasar_kit.report.grid import Column, Grid, Measured, Row, Told

GRID = Grid(
    "HR & more",
    (Column("model"), Column("HR@10", best=True), Column("N", 2)),
    (
        Row(("a_b", Measured(0.12345, 0.1, 0.2), None)),
        Row(("c|d", Measured(0.5), 2.5), model=True),
        Row(("change", Told(0.3766, "+0.3766"), None), aside=True),
        Row(("e", Measured(0.12344), 1)),
    ),
    ("50 % of them",),
)


def test_markdown_marks_the_best_and_escapes() -> None:
    lines = markdown([GRID]).splitlines()
    assert lines[0] == "**HR &amp; more**"
    assert lines[2:8] == [
        "| model | HR@10 | N |",
        "|---|---:|---:|",
        "| a\\_b | 0.1235 |  |",
        "| c\\|d | **0.5000** | 2.50 |",
        "| change | +0.3766 |  |",
        "| e | 0.1234 | 1 |",
    ]
    assert lines[-1] == "50 % of them"


def test_latex_underlines_the_second_and_compiles_by_its_rules() -> None:
    text = latex([GRID])
    assert r"\caption{HR \& more. 50 \% of them}" in text
    assert r"a\_b & \underline{0.1235} &  \\" in text
    assert r"c|d & \textbf{0.5000} & 2.50 \\" in text
    assert text.count("{") == text.count("}")
    assert [word for word in (r"\begin", r"\end") if text.count(word) != 2] == []


def test_csv_holds_numbers_in_full_with_their_intervals() -> None:
    rows = list(csv.reader(io.StringIO(as_csv([GRID, GRID]))))
    assert rows[0] == ["table", "model", "line", "HR@10", "HR@10 low", "HR@10 high", "N"]
    assert rows[1] == ["HR & more", "a_b", "", "0.12345", "0.1", "0.2", ""]
    assert rows[2] == ["HR & more", "c|d", "", "0.5", "", "", "2.5"]
    assert rows[3] == ["HR & more", "c|d", "change", "0.3766", "", "", ""]
    assert len(rows) == 1 + 2 * 4, "tables of like columns share a head"
    other = Grid.of("x", ["y"], [[1]])
    assert as_csv([GRID, other]).endswith("\n\ntable,y\nx,1\n")


def test_equal_numbers_share_a_mark_and_one_value_has_none() -> None:
    columns = ("m", Column("v", 2, best=True))
    assert Grid.of("", columns, [("a", 0.501), ("b", 0.5), ("c", 0.1)]).places(1) == {0: 0, 1: 0, 2: 1}
    assert Grid.of("", columns, [("a", 0.5), ("b", 0.5)]).places(1) == {}
    assert Grid.of("", columns, [("a", 0.5), ("b", 0.1)]).places(0) == {}


@pytest.mark.parametrize(
    ("format", "first"), [("markdown", "**HR"), ("latex", r"\begin{table}"), ("csv", "table")]
)
def test_what_is_for_files_is_printed_as_it_is(
    format: Format, first: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Long lines are not broken, nor brackets taken for markup."""
    wide = Grid.of("[red]" + "x" * 300, [f"column {place}" for place in range(30)], [["[bold]y"] * 30])
    show([GRID, wide], format)
    out = capsys.readouterr().out
    assert out.startswith(first)
    assert "x" * 300 in out
    assert "y" in out
    show([wide], "csv")
    assert "[bold]y,[bold]y" in capsys.readouterr().out
