"""How a process of several leaves when it fails."""

import pytest
import torch.distributed as dist

from lasar_kit.errors import UserError
from lasar_kit.run import launch


class Gone(Exception):
    """Stands for the end of the process."""


@pytest.fixture
def leave(monkeypatch: pytest.MonkeyPatch):  # type: ignore[no-untyped-def]
    """Leave as the process of a rank; the exit code."""

    def gone(code: int) -> None:
        raise Gone(code)

    monkeypatch.setattr("os._exit", gone)

    def run(rank: int, error: BaseException, store: object) -> int:
        monkeypatch.setenv("RANK", str(rank))
        with pytest.raises(Gone) as caught:
            launch._leave(error, store)
        code: int = caught.value.args[0]
        return code

    return run


def test_the_first_to_fail_speaks_and_the_others_follow(leave, capsys) -> None:  # type: ignore[no-untyped-def]
    store = dist.HashStore()
    assert leave(1, UserError("one", "two"), store) == 2
    assert capsys.readouterr().err == "one\ntwo\n"
    assert leave(0, RuntimeError("Connection closed by peer"), store) == 2
    assert leave(2, UserError("one", "two"), store) == 2
    assert capsys.readouterr().err == ""


def test_an_error_is_told_with_its_traceback(leave, capsys) -> None:  # type: ignore[no-untyped-def]
    assert leave(0, ValueError("boom"), dist.HashStore()) == 1
    assert capsys.readouterr().err.endswith("ValueError: boom\n")


def test_an_interrupt_is_left_to_the_launcher(leave, capsys) -> None:  # type: ignore[no-untyped-def]
    assert leave(0, KeyboardInterrupt(), dist.HashStore()) == 130
    assert capsys.readouterr().err == ""


def test_a_store_that_is_gone_tells_of_another_failure(leave, capsys) -> None:  # type: ignore[no-untyped-def]
    class Lost:
        def compare_set(self, *_: str) -> bytes:
            raise RuntimeError("Broken pipe")

    assert leave(1, ValueError("boom"), Lost()) == 1
    assert capsys.readouterr().err == ""


def test_where_nothing_was_launched_errors_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LOCAL_RANK", raising=False)
    with pytest.raises(UserError), launch.joined():
        raise UserError("as ever")
