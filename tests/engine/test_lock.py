"""One run at a time in a folder: a second one is refused in one line, and a kill leaves nothing behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from lasar_kit.cli.main import main
from lasar_kit.errors import UserError
from lasar_kit.store import run_folder
from tests.modules import Start, paths

SPEC = """
dataset: {use: demo, users: 20, items: 60}
stages: {tokenize: {use: tokenize, quantizer: {use: rq_kmeans, levels: 2, codes: 16}}}
"""
HOLD = """
import os, signal, sys
from pathlib import Path
from lasar_kit.store.run_folder import alone_in
with alone_in(Path(sys.argv[1])):
    print("held", flush=True)
    signal.pause()
"""


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """The folder of a run that is done."""
    (tmp_path / "s.yaml").write_text(SPEC)
    assert command(tmp_path / "run") == 0
    return tmp_path / "run"


def command(folder: Path, *options: str) -> int:
    with pytest.raises(SystemExit) as ended:
        main(["run", str(folder.parent / "s.yaml"), "--output", str(folder), *options])
    code: int = ended.value.code
    return code


def contents(folder: Path) -> dict[str, tuple[int, int]]:
    return {str(path): (path.stat().st_ino, path.stat().st_mtime_ns) for path in folder.rglob("*")}


def refusal(folder: Path) -> str:
    return f"--output {folder}: another run is at work there; wait for it, end it, or give another folder\n"


@pytest.mark.parametrize("options", [(), ("--resume",), ("--no-cache",)])
def test_a_second_run_is_refused_and_touches_nothing(
    run: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], options: tuple[str, ...]
) -> None:
    monkeypatch.setattr(run_folder, "PATIENCE", 0.0)
    with run_folder.alone_in(run):
        before = contents(run)
        capsys.readouterr()
        assert command(run, *options) == 2
        assert contents(run) == before
    assert capsys.readouterr() == ("", refusal(run))
    assert command(run, *options) == 0


def test_a_dry_run_asks_for_no_lock(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run_folder, "PATIENCE", 0.0)
    with run_folder.alone_in(run):
        assert command(run, "--dry-run") == 0


def test_two_processes_are_refused_alike(run: Path, preloaded: Start) -> None:
    """The main process is; the other one, which waits for it, ends with it and says nothing."""
    with run_folder.alone_in(run):
        before = contents(run)
        arguments = ("run", run.parent / "s.yaml", "--output", run, "--processes", "2", "--resume")
        found = preloaded("lasar_kit", *arguments)
        assert contents(run) == before
    assert (found.returncode, found.stdout, found.stderr) == (2, "", refusal(run))


def test_a_kill_lets_go_of_the_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run_folder, "PATIENCE", 0.0)
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path)], env=os.environ | paths(), stdout=subprocess.PIPE
    )
    assert holder.stdout is not None
    with holder.stdout as said:
        assert said.readline() == b"held\n"
        with pytest.raises(UserError, match="another run is at work there"), run_folder.alone_in(tmp_path):
            pass
        holder.send_signal(signal.SIGKILL)
        assert holder.wait(60) == -signal.SIGKILL
    assert (tmp_path / run_folder.AT_WORK).exists()
    with run_folder.alone_in(tmp_path):
        pass


def test_a_run_waits_for_one_that_ends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The one before it lets go of the folder when asked a second time."""
    (tmp_path / "kept").write_text("")
    first = run_folder.alone_in(tmp_path)
    first.__enter__()
    asked, native = [0], run_folder.FileLock._acquire

    def acquire(lock: object) -> None:
        asked[0] += 1
        if asked[0] == 2:
            first.__exit__(None, None, None)
        native(lock)  # type: ignore[arg-type]

    monkeypatch.setattr(run_folder.FileLock, "_acquire", acquire)
    with run_folder.alone_in(tmp_path):
        assert asked[0] >= 2


def test_where_nothing_came_to_be_nothing_is_left(tmp_path: Path) -> None:
    for folder in (tmp_path / "new", tmp_path / "there"):
        (tmp_path / "there").mkdir(exist_ok=True)
        with pytest.raises(UserError, match=r"^wrong$"), run_folder.alone_in(folder):
            raise UserError("wrong")
    assert [path.name for path in tmp_path.rglob("*")] == ["there"]
    with run_folder.alone_in(tmp_path / "new"):
        (tmp_path / "new" / "file").write_text("")
    assert sorted(path.name for path in (tmp_path / "new").iterdir()) == [run_folder.AT_WORK, "file"]


def test_a_folder_that_cannot_be_locked(tmp_path: Path) -> None:
    (tmp_path / run_folder.AT_WORK).mkdir()
    with pytest.raises(UserError, match=r"^--output .*: cannot be locked: "), run_folder.alone_in(tmp_path):
        pass
