"""A run that is asked to stop writes a checkpoint first, and says by its exit code that it can be resumed."""

import os
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from lasar_kit.cli.main import main
from lasar_kit.process import signals
from lasar_kit.train.updater import Updater
from lasar_kit.train.validation import BestCheckpoint
from tests.engine.cut import ALONE, SPEC, counted, run, same, updates

OPTIONS = (*ALONE, "stages.ground.checkpoint_every=0")


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return run(tmp_path_factory.mktemp("whole"), *OPTIONS)


@pytest.fixture(autouse=True)
def handlers() -> Iterator[None]:
    """Put back this process's signal handlers afterwards."""
    before = [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)]
    yield
    assert [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)] == before
    assert not signals._Pending.waits


def send(patch: pytest.MonkeyPatch, owner: type, method: str, call: int, *numbers: int) -> None:
    """Have this process sent signals at a method's n-th call."""
    before, left = getattr(owner, method), [call]

    def sends(self: Any, *given: Any) -> Any:
        left[0] -= 1
        if left[0] == 0:
            for number in numbers:
                os.kill(os.getpid(), number)
        return before(self, *given)

    patch.setattr(owner, method, sends)


def started(folder: Path, *options: str) -> int:
    """The command itself; its exit code."""
    folder.mkdir(exist_ok=True)
    (folder / "lasar.yaml").write_text(SPEC)
    sets = [part for option in OPTIONS for part in ("--set", option)]
    arguments = ["run", str(folder / "lasar.yaml"), "--output", str(folder / "lasar"), *sets, *options]
    with pytest.raises(SystemExit) as left:
        main(arguments)
    code: int = left.value.code
    return code


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 75), (signal.SIGINT, 130)])
def test_the_update_at_hand_is_finished_and_kept(
    whole: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    number: int,
    code: int,
) -> None:
    with monkeypatch.context() as patch:
        send(patch, Updater, "update", 5, number)
        assert started(tmp_path) == code
    name = signal.Signals(number).name
    assert capsys.readouterr().err == f"stages.ground, after update 5: {name}; run it again to go on\n"
    assert not (tmp_path / "lasar" / "stages" / "ground").exists()
    assert counted(tmp_path, *OPTIONS) == updates(whole, "ground") - 5
    same(tmp_path / "lasar" / "stages" / "ground", whole / "ground")


def test_a_validation_at_hand_is_finished_too(
    whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        send(patch, BestCheckpoint, "validate", 2, signal.SIGTERM)
        assert started(tmp_path) == 75
    with monkeypatch.context() as patch:
        send(patch, BestCheckpoint, "validate", 1)
        run(tmp_path, *OPTIONS)
    same(tmp_path / "lasar" / "stages" / "ground", whole / "ground")


def test_a_second_interrupt_does_not_wait(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    send(monkeypatch, Updater, "update", 2, signal.SIGINT, signal.SIGINT)
    assert started(tmp_path) == 130
    assert capsys.readouterr().err == "interrupted\n"
    assert not list((tmp_path / "lasar" / "stages").glob(".ground.work/*/checkpoints/*"))


def test_what_is_not_training_ends_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from lasar_plugins.quantizer.rq_kmeans.quantizer import RqKmeans

    send(monkeypatch, RqKmeans, "fit", 1, signal.SIGTERM)
    assert started(tmp_path) == 75
    assert capsys.readouterr().err == "stopped: SIGTERM; run it again to go on\n"
    assert sorted(path.name for path in (tmp_path / "lasar" / "stages").iterdir()) == ["dataset"]


@pytest.mark.parametrize(
    ("number", "ends"), [(signal.SIGTERM, signals.Stopped), (signal.SIGINT, KeyboardInterrupt)]
)
def test_a_signal_in_a_finaliser_is_not_lost(
    capsys: pytest.CaptureFixture[str], number: int, ends: type[BaseException]
) -> None:
    """Where Python drops exceptions and says so."""

    class Last:
        def __del__(self) -> None:
            os.kill(os.getpid(), number)
            return None  # a line at which the signal is taken

    def work() -> None:
        over = time.monotonic() + 20
        with signals.heeded():
            Last()
            while time.monotonic() < over:
                pass

    hook = sys.unraisablehook
    with pytest.raises(ends):
        work()
    assert capsys.readouterr() == ("", "")
    assert sys.unraisablehook is hook


def test_other_trouble_in_a_finaliser_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[str] = []
    monkeypatch.setattr(sys, "unraisablehook", lambda lost: told.append(str(lost.exc_value)))

    class Last:
        def __del__(self) -> None:
            raise ValueError("no good")

    with signals.heeded():
        Last()
    assert told == ["no good"]


def test_what_contradicts_itself(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert started(tmp_path, "--resume", "--no-cache") == 2
    assert capsys.readouterr().err.startswith("--resume: goes on with what --no-cache would throw away")
