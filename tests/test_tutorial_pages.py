"""Every page of tutorials/plugins, followed to the letter with only the wheel installed."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from subprocess import CompletedProcess

import pytest

from tests.fresh import Fresh
from tests.pages import Command, File, follow, matches, steps

ROOT = Path(__file__).resolve().parents[1]
PAGES = sorted((ROOT / "tutorials" / "plugins").glob("*.md"))


@pytest.fixture(scope="module")
def fresh(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fresh]:
    with Fresh(tmp_path_factory.mktemp("fresh") / "venv").preloaded() as fresh:
        yield fresh


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_a_page_does_what_it_says(page: Path, fresh: Fresh, tmp_path: Path) -> None:
    written = follow(page.read_text(), tmp_path, fresh.run)
    stated = re.search(r"^\*\*It takes\*\* .+? and (\d+) lines", page.read_text(), re.MULTILINE)
    assert stated, "a page says how long it takes: '**It takes** … minutes and N lines …'"
    assert int(stated[1]) == written
    assert re.search(r"^\*\*You will see\*\* ", page.read_text(), re.MULTILINE)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_links_of_a_page_lead_somewhere(page: Path) -> None:
    links = re.findall(r"\]\(([^)#]+)[^)]*\)", page.read_text())
    assert [link for link in links if not (page.parent / link).exists()] == []


PAGE = """\
```yaml sub/a.yaml
x: 1
```
Read only:
```python
y
```
```console
$ show sub/a.yaml
x: …
$ quiet
```
```console fails
$ wrong
```
"""


def test_the_steps_of_a_page() -> None:
    assert list(steps(PAGE)) == [
        File("sub/a.yaml", "x: 1\n"),
        Command("show sub/a.yaml", "x: …\n", True),
        Command("quiet", "", True),
        Command("wrong", "", False),
    ]


@pytest.mark.parametrize(
    ("shown", "printed", "same"),
    [
        ("a\nb", "a\nb\n", True),
        ("a\n…\nc", "a\nb\nb\nc\n", True),
        ("a\n…\nc", "a\nc\n", True),
        ("a … c", "a b c\n", True),
        ("a … c", "a b\nc\n", False),
        ("a\n…", "b\na\n", False),
        ("…\na\n…", "b\na\nc", True),
        ("a.c", "abc", False),
        ("", "", True),
        ("", "a", False),
        ("a", "", False),
    ],
)
def test_what_is_shown_against_what_was_printed(shown: str, printed: str, same: bool) -> None:
    assert matches(shown, printed) == same


@pytest.mark.parametrize(
    ("code", "printed", "told"), [("wrong", "x: 1", r"\$ wrong"), ("", "y: 1", "where the page shows")]
)
def test_a_page_that_is_wrong_is_told(tmp_path: Path, code: str, printed: str, told: str) -> None:
    def run(line: str, folder: Path) -> CompletedProcess[str]:
        assert (folder / "sub/a.yaml").read_text() == "x: 1\n"
        fails = line == "wrong" and line != code
        return CompletedProcess(line, int(fails), printed if line.startswith("show") else "", "")

    with pytest.raises(AssertionError, match=told):
        follow(PAGE, tmp_path, run)
