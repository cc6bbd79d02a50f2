"""The page on contracts tells every law, and its examples work."""

from __future__ import annotations

import re
import runpy
import shlex
from pathlib import Path

import pytest

from lasar_kit.cli.main import main
from lasar_kit.testing.table import laws_as_markdown

PAGE = (Path(__file__).parents[2] / "docs" / "contracts.md").read_text()


def test_the_laws_are_those_of_the_checks() -> None:
    told = PAGE.partition("<!-- laws -->\n")[2].strip()
    assert told == laws_as_markdown(), "write what lasar_kit.testing.table.laws_as_markdown() gives there"


def test_the_command_of_the_page_works(capsys: pytest.CaptureFixture[str]) -> None:
    (block,) = re.findall(r"```bash\n(lasar-kit.*?)```", PAGE, re.DOTALL)
    with pytest.raises(SystemExit) as caught:
        main(shlex.split(block.splitlines()[0])[1:])
    assert caught.value.code == 0
    assert "20 of 20" in capsys.readouterr().out


def test_the_decorator_of_the_page_works(tmp_path: Path) -> None:
    (block,) = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    (tmp_path / "test_page.py").write_text(block)
    (mark,) = runpy.run_path(str(tmp_path / "test_page.py"))["test_contract"].pytestmark
    names = [parameter.id for parameter in mark.args[1]]
    assert len(names) == 40
    assert names[0] == "aligner-stepwise-has_its_interface"
