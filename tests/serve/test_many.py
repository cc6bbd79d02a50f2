"""Lists behind a file of histories: in parts, by several processes, taken up where they were cut off."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import torch.distributed as dist

from lasar_kit import load_run
from lasar_kit.catalogue import Catalogue
from lasar_kit.cli.main import main
from lasar_kit.errors import UserError
from lasar_kit.serve.many import Work, write
from lasar_kit.serve.recommend import LoadedRun
from lasar_kit.store import run_folder

ROOT = Path(__file__).parents[2]
Call = Callable[..., tuple[int, str, str]]


OTHER = """
import os
import signal
import sys
from pathlib import Path
import torch.distributed as dist
from lasar_kit.catalogue import Catalogue
from lasar_kit.serve.many import Work, write

meet, shop, folder = sys.argv[1], *map(Path, sys.argv[2:])
dist.init_process_group("gloo", init_method=meet, rank=1, world_size=2)
write(Work(shop, folder / "many.txt", folder / "whole.parquet", k=3, rows=3), Catalogue.discover())
sync, left = os.fsync, [2]

def dies(file):
    left[0] -= 1
    if left[0] == 0:
        os.kill(os.getpid(), signal.SIGKILL)
    sync(file)

os.fsync = dies
write(Work(shop, folder / "many.txt", folder / "lists.parquet", k=3, rows=3), Catalogue.discover())
"""
"""Process 1 of two, which dies at the second part that is its own."""


@pytest.fixture
def asked(tmp_path: Path) -> list[list[str]]:
    """Ten histories, the sixth with an id that the run does not have; as `many.txt` in the folder."""
    histories = [[f"item-{n:05d}", f"item-{3 * n:05d}"] for n in range(10)]
    histories[5][1] = "none"
    (tmp_path / "many.txt").write_text("\n".join(map(",".join, histories)) + "\n")
    return histories


@pytest.fixture
def call(shop: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Call:
    """Asks the command about `many.txt`; its exit code and what it prints."""

    def run(*options: str, file: str = "many.txt", output: str = "lists.parquet") -> tuple[int, str, str]:
        given = ["--histories", str(tmp_path / file), "--output", str(tmp_path / output)]
        with pytest.raises(SystemExit) as ended:
            main(["recommend", str(shop), *given, *options])
        found = capsys.readouterr()
        assert isinstance(ended.value.code, int)
        return ended.value.code, found.out, found.err

    return run


@pytest.fixture
def ranked(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Of each part that is ranked, its histories."""
    counts, rank = list[int](), LoadedRun.rank

    def counted(self: LoadedRun, histories: Any, *given: Any, **more: Any) -> Any:
        counts.append(len(histories))
        return rank(self, histories, *given, **more)

    monkeypatch.setattr(LoadedRun, "rank", counted)
    return counts


def work(shop: Path, folder: Path, **options: Any) -> Work:
    return Work(shop, folder / "many.txt", folder / "lists.parquet", **{"k": 3, "rows": 3, **options})


def expected(shop: Path, histories: list[list[str]], exclude: bool = False) -> list[dict[str, Any]]:
    """The rows, from asking about one history after the other."""
    model, rows = load_run(shop), []
    for line, history in enumerate(histories, start=1):
        unknown = [item for item in history if item == "none"]
        items = [] if unknown else model.rank([history], 3, exclude)[0]
        scores = pytest.approx([one.score for one in items], abs=1e-4)
        names = [one.item for one in items]
        rows.append({"line": line, "items": names, "scores": scores, "unknown": unknown})
    return rows


@pytest.mark.parametrize("exclude", [False, True])
def test_every_line_has_its_list(shop: Path, tmp_path: Path, asked: list[list[str]], exclude: bool) -> None:
    assert write(work(shop, tmp_path, exclude_history=exclude), Catalogue.discover()) == (9, 10)
    assert pl.read_parquet(tmp_path / "lists.parquet").to_dicts() == expected(shop, asked, exclude)
    assert [file.name for file in sorted(tmp_path.iterdir())] == ["lists.parquet", "many.txt"]


def test_killed_on_two_processes_it_goes_on_where_it_was(
    shop: Path, tmp_path: Path, asked: list[list[str]], ranked: list[int]
) -> None:
    """Process 1 dies with its second part written but not in its place; one process then does what is left.
    The file is, to the byte, that of two processes that were left alone."""
    meet = f"file://{tmp_path}/../meet"
    command = [sys.executable, "-c", OTHER, meet, str(shop), str(tmp_path)]
    paths = {"PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "plugins")])}
    other = subprocess.Popen(command, env=os.environ | paths)
    dist.init_process_group("gloo", init_method=meet, rank=0, world_size=2)
    try:
        write(replace(work(shop, tmp_path), output=tmp_path / "whole.parquet"), Catalogue.discover())
        with pytest.raises(RuntimeError):  # of the exchange, once process 1 has gone
            write(work(shop, tmp_path), Catalogue.discover())
    finally:
        dist.destroy_process_group()
        other.kill()
    assert other.wait(60) == -signal.SIGKILL
    ranked.clear()
    assert not (tmp_path / "lists.parquet").exists()
    parts = tmp_path / ".lists.parquet.parts"
    assert (parts / "00000003.partial").exists()
    assert sorted(file.name for file in parts.glob("*.parquet")) == [f"{n:08d}.parquet" for n in range(3)]
    write(work(shop, tmp_path), Catalogue.discover())
    assert ranked == [1]
    assert (tmp_path / "lists.parquet").read_bytes() == (tmp_path / "whole.parquet").read_bytes()
    assert pl.read_parquet(tmp_path / "whole.parquet").to_dicts() == expected(shop, asked)


@pytest.mark.parametrize("change", [{"k": 2}, {"exclude_history": True}, {"rows": 2}, {"histories": "x"}])
def test_parts_of_other_work_are_of_no_use(
    shop: Path,
    tmp_path: Path,
    asked: list[list[str]],
    ranked: list[int],
    monkeypatch: pytest.MonkeyPatch,
    change: dict[str, Any],
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr("lasar_kit.serve.many._join", lambda work: 1 / 0)
        for _ in range(2):  # the second finds all parts
            with pytest.raises(ZeroDivisionError):
                write(work(shop, tmp_path), Catalogue.discover())
            assert ranked == [3, 2, 3, 1]
    if "histories" in change:
        (tmp_path / "many.txt").write_text("item-00001\n" * 4)
    options = {name: value for name, value in change.items() if name != "histories"}
    write(work(shop, tmp_path, **options), Catalogue.discover())
    others = {"rows": [2, 2, 1, 2, 2], "histories": [3, 1]}.get(next(iter(change)), [3, 2, 3, 1])
    assert ranked[4:] == others
    assert pl.read_parquet(tmp_path / "lists.parquet").height == (4 if "histories" in change else 10)


def test_the_command_writes_it_and_tells_of_unknown_ids(
    shop: Path, tmp_path: Path, asked: list[list[str]], call: Call
) -> None:
    code, out, err = call("-k", "3", "--exclude-history")
    assert (code, out) == (0, f"{tmp_path / 'lists.parquet'}: 9 lists behind 10 histories\n")
    assert err.startswith(f"{tmp_path / 'many.txt'}:6: no item 'none' in this run; ")
    assert pl.read_parquet(tmp_path / "lists.parquet").to_dicts() == expected(shop, asked, True)
    again = call("-k", "3")
    assert again[0] == 2
    assert again[2].endswith("lists.parquet: is there already; remove it, or give another file\n")


def test_mistakes_are_told_before_anything_is_written(
    tmp_path: Path, asked: list[list[str]], call: Call
) -> None:
    assert "many.txt:6: no item 'none' in this run; " in call("--refuse-unknown")[2]
    for text, told, lines in (
        ("item-00001\n,\n[1]\n", "many.txt:2: must be item ids with commas", 2),
        ("none\nneither\n", "many.txt:1: no item 'none' in this run", 2),
        (",\n" * 25, "many.txt:20: must be item ids", 21),
        ("", "many.txt: holds no history", 1),
    ):
        (tmp_path / "many.txt").write_text(text)
        code, out, err = call()
        assert (code, out, len(err.splitlines())) == (2, "", lines)
        assert told in err
    (tmp_path / "many.txt").write_text(",\n" * 25)
    assert call()[2].endswith("\nand 5 more lines\n")
    assert "none.txt: cannot be read: No such file" in call(file="none.txt")[2]
    assert call(output="lists.csv")[2].endswith("lists.csv: must end in .parquet\n")
    assert call("--json")[2].startswith("recommend: --output needs --histories FILE, and neither")
    assert [file.name for file in tmp_path.iterdir()] == ["many.txt"]


def test_only_a_file_is_written_by_several(shop: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["recommend", str(shop), "--history", "item-00001", "--processes", "2"])
    assert capsys.readouterr().err == "recommend: --processes needs --output FILE.parquet\n"


def test_one_writes_at_a_time(
    shop: Path, tmp_path: Path, asked: list[list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run_folder, "PATIENCE", 0.0)
    asked_for = work(shop, tmp_path)
    with run_folder.alone_in(asked_for.parts), pytest.raises(UserError, match="at work there"):
        write(asked_for, Catalogue.discover())
