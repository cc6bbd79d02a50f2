"""The anchors stage goes on where it was cut off, repeats nothing, and ends up with the same bits."""

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from lasar_kit.data.anchor_store import AnchorStore
from lasar_kit.errors import UserError
from lasar_kit.stages.anchors import reader, stage
from lasar_kit.train.teacher_texts import TextLog
from lasar_plugins.teacher.jsonl.teacher import read_texts
from lasar_plugins.teacher.template.teacher import TemplateTeacher
from tests.small import ran

SPEC = """
name: cut
dataset: {use: demo, users: 40, items: 60}
max_history: 6
backbone: {use: qwen3, hidden_size: 16, layers: 1, heads: 2, text_vocabulary: 400}
prompt: sid_only
stages:
  tokenize: {use: tokenize, quantizer: {use: rq_kmeans, levels: 3, codes: 8}}
  ground: {use: sft, samples: packed, epochs: 0.5, eval_users: 10, eval_width: 10}
  anchors: {use: anchors, max_segments: 5, context: cumulative, max_samples: 70}
"""
PROMPTS, BLOCK = 70, 16


def run(folder: Path, *overrides: str, use_cache: bool = True) -> Path:
    return ran(folder, "cut", SPEC, overrides, use_cache)


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stage, "BLOCK", BLOCK)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The stages of a run that was not interrupted."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(stage, "BLOCK", BLOCK)
        return run(tmp_path_factory.mktemp("whole"))


@pytest.fixture
def begun(whole: Path, tmp_path: Path) -> Path:
    """The folder of a run that has come as far as the anchors."""
    shutil.copytree(whole, tmp_path / "cut" / "stages")
    shutil.rmtree(tmp_path / "cut" / "stages" / "anchors")
    return tmp_path


class Counted:
    """Counts what is done, and raises `error` when `left` of it is done, once."""

    def __init__(self, left: int, error: BaseException) -> None:
        self.done, self.left, self.error = 0, left, error

    def one(self, amount: int = 1) -> None:
        if self.left == 0:
            self.left = -1
            raise self.error
        self.left -= 1
        self.done += amount


def count_texts(patch: pytest.MonkeyPatch, counted: Counted) -> None:
    write = TemplateTeacher.write

    def writes(self: TemplateTeacher, requests: Any) -> Iterator[tuple[int, str | None]]:
        for answer in write(self, requests):
            counted.one()
            yield answer

    patch.setattr(TemplateTeacher, "write", writes)


def count_reads(patch: pytest.MonkeyPatch, counted: Counted) -> None:
    read = reader.read_chains

    def reads(backbone: Any, chains: Any, *rest: Any) -> Any:
        counted.one(len(chains))
        return read(backbone, chains, *rest)

    patch.setattr(reader, "read_chains", reads)


def same(ours: Path, theirs: Path) -> None:
    names = {path.name for path in theirs.iterdir()}
    assert {path.name for path in ours.iterdir()} == names
    for name in names - {"artifact.json", "log.jsonl"}:
        assert (ours / name).read_bytes() == (theirs / name).read_bytes(), name
    reports = [json.loads((folder / "artifact.json").read_text())["report"] for folder in (ours, theirs)]
    assert reports[0] == reports[1]


@pytest.mark.parametrize("left", [0, 1, 33, 69])
def test_texts_written_before_an_interruption_are_not_written_again(
    whole: Path, begun: Path, monkeypatch: pytest.MonkeyPatch, left: int, capsys: pytest.CaptureFixture[str]
) -> None:
    counted = Counted(left, KeyboardInterrupt())
    count_texts(monkeypatch, counted)
    with pytest.raises(KeyboardInterrupt):
        run(begun)
    stages = begun / "cut" / "stages"
    assert not (stages / "anchors").exists()
    assert counted.done == left
    assert "goes on" not in capsys.readouterr().out
    run(begun)
    assert ("goes on" in capsys.readouterr().out) is (left > 0)
    assert counted.done == PROMPTS
    same(stages / "anchors", whole / "anchors")
    assert {path.name for path in stages.iterdir()} == {"dataset", "tokenize", "ground", "anchors"}


def test_states_read_before_an_interruption_are_not_read_again(
    whole: Path, begun: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    texts, blocks = Counted(-1, KeyboardInterrupt()), Counted(3, KeyboardInterrupt())
    count_texts(monkeypatch, texts)
    count_reads(monkeypatch, blocks)
    with pytest.raises(KeyboardInterrupt):
        run(begun)
    (work,) = (begun / "cut" / "stages" / ".anchors.work").iterdir()
    store = AnchorStore.open(work)
    assert store.filled == store.offsets[3 * BLOCK] == sum(map(len, written(work)[: 3 * BLOCK]))
    run(begun)
    assert texts.done == PROMPTS
    assert blocks.done == PROMPTS  # in `cumulative`, a text is one chain
    same(begun / "cut" / "stages" / "anchors", whole / "anchors")


def written(work: Path) -> list[list[str]]:
    with TextLog(work / "segments.jsonl", PROMPTS) as log:
        return [log[prompt][1] for prompt in range(PROMPTS)]


def test_another_spec_and_no_cache_start_anew(begun: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for overrides, use_cache in (((), False), (("stages.anchors.max_segments=2",), True)):
        with monkeypatch.context() as patch:
            count_texts(patch, Counted(50, KeyboardInterrupt()))
            with pytest.raises(KeyboardInterrupt):
                run(begun)
        with monkeypatch.context() as patch:
            again = Counted(-1, KeyboardInterrupt())
            count_texts(patch, again)
            run(begun, *overrides, use_cache=use_cache)
            assert again.done == PROMPTS
            shutil.rmtree(begun / "cut" / "stages" / "anchors")


def test_a_teacher_that_gives_up_is_asked_again_for_what_it_left_out(
    whole: Path, begun: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = TemplateTeacher.write
    asked: list[int] = []

    def fails(self: TemplateTeacher, requests: Any) -> Iterator[tuple[int, str | None]]:
        for index, text in write(self, requests):
            asked.append(index)
            if index == 30:
                raise UserError("the endpoint is gone")
            yield index, None if index >= 25 else text

    with monkeypatch.context() as patch:
        patch.setattr(TemplateTeacher, "write", fails)
        with pytest.raises(UserError, match="the endpoint is gone"):
            run(begun)
    counted = Counted(-1, KeyboardInterrupt())
    count_texts(monkeypatch, counted)
    run(begun)
    assert counted.done == PROMPTS - 25
    same(begun / "cut" / "stages" / "anchors", whole / "anchors")


def test_the_texts_are_kept_as_the_teacher_jsonl_reads_them(whole: Path, begun: Path) -> None:
    path = whole / "anchors" / "texts.jsonl"
    texts = read_texts(path)
    assert len(texts) == PROMPTS
    assert all(text and text.startswith("Step 1: ") for text in texts.values())
    run(begun, f"stages.anchors.teacher={{use: jsonl, path: {path}}}")
    same(begun / "cut" / "stages" / "anchors", whole / "anchors")


def test_a_teacher_that_wrote_nothing(begun: Path, tmp_path: Path) -> None:
    (tmp_path / "texts.jsonl").write_text('{"user": "nobody", "end": 3, "text": "x"}\n')
    with pytest.raises(
        UserError, match=r"^stages\.anchors\.teacher: jsonl wrote no text for any of 70 train"
    ):
        run(begun, f"stages.anchors.teacher={{use: jsonl, path: {tmp_path / 'texts.jsonl'}}}")


def test_texts_of_a_single_segment_are_warned_of(begun: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run(begun, "stages.anchors.segmenter={use: steps, max_segments: 1}")
    shown = " ".join(capsys.readouterr().out.split())
    assert "warning: 100% of the texts have a single segment" in shown
    report = json.loads((begun / "cut" / "stages" / "anchors" / "artifact.json").read_text())["report"]
    assert report["caution"].startswith("100% of the texts have a single segment")


@pytest.mark.parametrize(
    ("counts", "said"),
    [
        ([1] * 91 + [2] * 9, "91% of the texts have a single segment"),
        ([0] * 900 + [1] * 90 + [5] * 10, None),
        ([8] * 40 + [0], "all texts have 8 segments"),
        ([8] * 39 + [7], None),
    ],
)
def test_what_is_lopsided(counts: list[int], said: str | None) -> None:
    found = stage.lopsided(np.array(counts), 8)
    assert found is None if said is None else found is not None and found.startswith(said)
    assert stage.lopsided(np.ones(5, dtype=np.int64), 1) is None


@pytest.mark.parametrize("value", [7e4, -7e4, np.inf, np.nan])
def test_a_state_that_does_not_fit_is_no_infinity(tmp_path: Path, value: float) -> None:
    store = AnchorStore.begin(tmp_path, [(0, 1), (0, 2)], [2, 1], 3, "float16")
    fits = np.array([[1, 65504, -65504], [0, 1, 2]], dtype=np.float32)
    store.put(fits)
    with pytest.raises(OverflowError):
        store.put(np.array([[0, value, 1]], dtype=np.float32))
    assert store.filled == 2
    assert (AnchorStore.open(tmp_path).states[:2] == fits).all()


def test_float32_holds_what_float16_cannot(begun: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read: Callable[..., Any] = reader.read_chains
    monkeypatch.setattr(
        reader, "read_chains", lambda *given: [(n, states * 1e5) for n, states in read(*given)]
    )
    with pytest.raises(UserError, match=r"^stages\.anchors\.dtype: .*cannot hold \(float32 holds more\)$"):
        run(begun)
    run(begun, "stages.anchors.dtype=float32")
    store = AnchorStore.open(begun / "cut" / "stages" / "anchors")
    assert store.states.dtype == np.float32
    assert np.abs(store.states).max() > 65504
    assert torch.isfinite(store.batch([[(0, 1)]], 1)[0].states).all()


@pytest.mark.parametrize("name", ["keys.npy", "offsets.npy", "states.npy"])
@pytest.mark.parametrize("left", [0, 100])
def test_a_store_of_which_not_all_came_to_the_disk_is_begun_anew(
    tmp_path: Path, name: str, left: int
) -> None:
    begun = AnchorStore.begin(tmp_path, [(0, 1), (0, 2)], [2, 1], 3, "float32")
    begun.put(np.ones((3, 3), dtype=np.float32))
    assert AnchorStore.begin(tmp_path, [(0, 1), (0, 2)], [2, 1], 3, "float32").filled == 3
    (tmp_path / name).write_bytes((tmp_path / name).read_bytes()[:left])
    again = AnchorStore.begin(tmp_path, [(0, 1), (0, 2)], [2, 1], 3, "float32")
    assert (again.filled, again.states.shape) == (0, (3, 3))
