"""A machine's faults are told in one line, and leave nothing that is half done."""

import errno
import os
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from lasar_kit.data.anchor_store import AnchorStore
from lasar_kit.errors import UserError
from lasar_kit.model.recommender import Recommender
from lasar_kit.process import faults
from lasar_kit.stages.sft.step import SftResult, SftStep
from lasar_kit.train.checkpoints import Checkpoints, State
from lasar_kit.train.validation import BestCheckpoint
from tests.engine.cut import ALONE, counted, run, same, updates


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return run(tmp_path_factory.mktemp("whole"), *ALONE)


@contextmanager
def largest_file(size: int) -> Iterator[None]:
    """Files may not grow over so many bytes: writing then fails as it does on a full disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def breaks(patch: pytest.MonkeyPatch, owner: type, method: str, call: int, change: Any) -> None:
    """Have what a method gives changed at its n-th call; or an exception raised in its stead."""
    before, left = getattr(owner, method), [call]

    def broken(self: Any, *given: Any) -> Any:
        left[0] -= 1
        if left[0]:
            return before(self, *given)
        if isinstance(change, BaseException):
            raise change
        return change(before(self, *given))

    patch.setattr(owner, method, broken)


def test_a_full_disk_at_a_checkpoint(whole: Path, tmp_path: Path) -> None:
    """A checkpoint holds weights and two moments of each, so it is the largest file."""
    size = (whole / "ground" / "model.safetensors").stat().st_size
    with largest_file(2 * size), pytest.raises(UserError) as caught:
        run(tmp_path, *ALONE)
    (line,) = caught.value.lines
    work = tmp_path / "lasar" / "stages" / ".ground.work"
    assert line.startswith(f"stages.ground: no room to write in {work}/")
    assert "bytes needed, " in line
    assert "bytes free): " in line
    assert not list(work.glob("*/checkpoints/0*"))
    assert counted(tmp_path, *ALONE) == updates(whole, "ground")
    same(tmp_path / "lasar" / "stages" / "ground", whole / "ground")


def test_a_full_disk_at_a_model(whole: Path, tmp_path: Path) -> None:
    size = (whole / "ground" / "model.safetensors").stat().st_size
    with largest_file(size // 2), pytest.raises(UserError, match=r"^stages\.ground: no room to write in "):
        run(tmp_path, *ALONE, "stages.ground.checkpoint_every=0")
    assert not (tmp_path / "lasar" / "stages" / "ground").exists()
    assert not (tmp_path / "lasar" / "model").exists()


def test_a_checkpoint_that_did_not_fit_leaves_the_others(tmp_path: Path) -> None:
    kept, state = Checkpoints(tmp_path / "kept"), State({"x": torch.zeros(3000)}, {"done": 3})
    (tmp_path / "stage").mkdir()
    kept.write(3, state, tmp_path / "stage")
    with largest_file(5000), pytest.raises(Exception, match="too large") as caught:
        kept.write(6, state, tmp_path / "stage")
    assert faults.disk_full(caught.value)
    path, problems = kept.latest()
    assert path == tmp_path / "kept" / "000000003"
    assert not problems
    kept.write(6, state, tmp_path / "stage")
    assert [path.name for path in kept.all()] == ["000000003", "000000006"]


def test_anchors_take_their_room_before_they_are_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They are written through memory, where a full disk is no error but the end of the process."""
    made = AnchorStore.begin(tmp_path, [(0, 1), (1, 1)], [5000, 5000], 64, "float16")
    stored = tmp_path / "states.npy"
    assert stored.stat().st_blocks * 512 >= stored.stat().st_size > made.states.nbytes

    def full(*given: Any) -> None:
        raise OSError(errno.ENOSPC, "no room")

    monkeypatch.setattr(os, "posix_fallocate", full)
    with pytest.raises(OSError, match="no room"):
        AnchorStore.begin(tmp_path, [(0, 1)], [1], 64, "float16")
    assert not stored.exists()


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EFBIG])
def test_errors_of_a_full_disk(number: int, tmp_path: Path) -> None:
    error = OSError(number, "why")
    with (
        pytest.raises(
            UserError, match=r"^x: no room to write in .* \(7 bytes needed, [0-9,]+ bytes free\): why$"
        ),
        faults.disk("x", tmp_path / "gone" / "too", 7),
    ):
        raise error
    assert not faults.disk_full(OSError(errno.EACCES, "why"))


def test_libraries_tell_of_a_full_disk_in_their_own_words(tmp_path: Path) -> None:
    full = Path("/dev/full")
    if not full.exists():
        pytest.skip("no /dev/full here")
    with pytest.raises(OSError, match="No space left") as caught:
        full.write_bytes(b"x" * 10)
    assert faults.disk_full(caught.value)
    with largest_file(100), pytest.raises(Exception, match="too large") as other:
        save_file({"x": torch.zeros(100)}, tmp_path / "x")
    assert faults.disk_full(other.value)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_loss_that_blew_up(
    whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, value: float
) -> None:
    with monkeypatch.context() as patch:
        breaks(patch, SftStep, "forward", 5, lambda found: SftResult({"ce": found.sums["ce"] * value}))
        with pytest.raises(UserError) as caught:
            run(tmp_path, *ALONE)
    (line,) = caught.value.lines
    assert line.startswith(f"stages.ground: the loss is {value} at update 5; the update was not made.")
    named = line.split("the batch has the users ")[1]
    assert named.count(",") == 9
    assert named.endswith(" and 5 more")
    assert counted(tmp_path, *ALONE) == updates(whole, "ground") - 3
    same(tmp_path / "lasar" / "stages" / "ground", whole / "ground")


def test_a_gradient_that_blew_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def with_infinite_gradient(found: SftResult) -> SftResult:
        found.sums["ce"].register_hook(lambda gradient: gradient * float("inf"))
        return found

    breaks(monkeypatch, SftStep, "forward", 2, with_infinite_gradient)
    expected = r"^stages\.ground: the norm of the gradient is (nan|inf) at update 2; the update was not made"
    with pytest.raises(UserError, match=expected):
        run(tmp_path, *ALONE)


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        torch.OutOfMemoryError("CUDA out of memory"),
        RuntimeError(
            "[enforce fail at alloc_cpu.cpp:127] DefaultCPUAllocator: can't allocate memory: you tried"
        ),
    ],
)
def test_memory_that_ran_out_in_an_update(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: BaseException
) -> None:
    breaks(monkeypatch, SftStep, "forward", 3, error)
    with pytest.raises(UserError) as caught:
        run(tmp_path, *ALONE)
    assert caught.value.lines == (
        "stages.ground: update 3 of 15 samples, the longest of 6 items: out of memory; lower "
        "stages.ground.batch_size or raise stages.ground.gradient_accumulation",
    )


def test_memory_that_ran_out_elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        breaks(patch, BestCheckpoint, "validate", 1, MemoryError())
        expected = (
            r"^stages\.ground: validation after update 5: out of memory; lower stages\.ground\.eval_batch_"
        )
        with pytest.raises(UserError, match=expected):
            run(tmp_path, *ALONE)
    breaks(monkeypatch, Recommender, "recommend", 10, MemoryError())
    expected = r"^stages\.evaluate: out of memory; lower stages\.evaluate\.batch_size \(now 2\)$"
    with pytest.raises(UserError, match=expected):
        run(tmp_path, *ALONE, "stages.evaluate={use: evaluate, batch_size: 2}", "stages.ground.eval_every=9")


def test_other_errors_stay_what_they_are() -> None:
    for guard in (faults.memory("x", "y"), faults.disk("x", Path())):
        with pytest.raises(RuntimeError, match=r"^shapes differ$"), guard:
            raise RuntimeError("shapes differ")
