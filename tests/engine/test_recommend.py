"""A model that serves: loaded once, asked for many histories, from Python and from the command line."""

from __future__ import annotations

import json
import re
import runpy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lasar_kit import load_run
from lasar_kit.catalogue import Catalogue
from lasar_kit.cli.histories import histories
from lasar_kit.cli.main import main
from lasar_kit.errors import UserError
from lasar_kit.model.recommender import Recommender
from lasar_kit.process.screen import Screen
from lasar_kit.run import runner
from lasar_kit.serve.recommend import LoadedRun, _table
from lasar_kit.serve.stock import Recommended
from lasar_kit.spec import load_spec

PAGE = Path(__file__).parents[2] / "docs" / "serving.md"
SPEC = """
name: shop
dataset: {use: demo, users: 50, items: 60}
max_history: 5
backbone: {use: qwen3, hidden_size: 16, layers: 1, heads: 2, text_vocabulary: 300}
prompt: sid_only
decoder: {use: trie_beam, width: 20, score: trie}
stages:
  tokenize: {use: tokenize, quantizer: {use: rq_kmeans, levels: 2, codes: 8}}
  ground: {use: sft, samples: packed, epochs: 1, eval_users: 10, eval_width: 10, score: trie}
  plain: {use: evaluate, keep: 3}
  excluded: {use: evaluate, exclude_history: true, keep: 20}
  narrow: {use: evaluate, decoder: {use: trie_beam, width: 5, score: trie}, keep: 20}
"""
Run = Callable[..., tuple[int, str, str]]


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("shop")
    (folder / "shop.yaml").write_text(SPEC)
    catalogue = Catalogue.discover()
    runner.run_spec(load_spec(folder / "shop.yaml", [], catalogue), catalogue, folder / "runs" / "shop", True)
    return folder / "runs" / "shop"


@pytest.fixture(scope="module")
def model(shop: Path) -> LoadedRun:
    return load_run(shop)


@pytest.fixture
def call(shop: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Runs a command line beside `runs/shop`; its exit code and what it prints."""
    monkeypatch.chdir(shop.parents[1])

    def run(*arguments: str) -> tuple[int, str, str]:
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            main(list(arguments))
        found = capsys.readouterr()
        assert isinstance(ended.value.code, int)
        return ended.value.code, found.out, found.err

    return run


def stored(shop: Path, stage: str) -> list[dict[str, Any]]:
    """Read what a stage predicted; with the history that each user was asked with."""
    from lasar_kit.data import stored_dataset

    data = stored_dataset.load(shop / "stages" / "dataset")
    ids = data.items["id"].to_list()
    past = {user: [ids[item] for item in data.sequences[row][:-1]] for row, user in enumerate(data.users)}
    text = (shop / "stages" / stage / "predictions.jsonl").read_text()
    lines = [json.loads(line) for line in text.splitlines()]
    return [line | {"history": past[line["user"]]} for line in lines]


@pytest.mark.parametrize(("stage", "exclude"), [("plain", False), ("excluded", True)])
def test_lists_are_those_of_evaluate(shop: Path, model: LoadedRun, stage: str, exclude: bool) -> None:
    lines = stored(shop, stage)
    k = 3 if stage == "plain" else 20
    found = model.rank([line["history"] for line in lines], k, exclude)
    for line, items in zip(lines, found, strict=True):
        assert [one.item for one in items] == line["items"]
        assert [one.score for one in items] == pytest.approx(line["scores"], abs=1e-4)
        assert not exclude or not {one.item for one in items} & set(line["history"])
    assert model.rank([]) == []


def test_exclusion_leaves_no_list_short(shop: Path) -> None:
    """A beam of 20 finds 20 items that are not in the history, though it lists some that are where it may."""
    rows = json.loads((shop / "metrics.json").read_text())
    plain = {line["user"]: line["items"] for line in stored(shop, "narrow")}
    assert any(set(line["history"]) & set(plain[line["user"]]) for line in stored(shop, "excluded"))
    assert {len(line["items"]) for line in stored(shop, "excluded")} == {20}
    assert rows["excluded"]["short_lists"] == 0
    assert rows["plain"]["short_lists"] == 0
    assert rows["narrow"]["short_lists"] == 50


def test_a_stage_may_have_a_decoder_of_its_own(shop: Path) -> None:
    rows, wide = json.loads((shop / "metrics.json").read_text()), stored(shop, "plain")
    assert {len(line["items"]) for line in stored(shop, "narrow")} == {5}
    assert rows["narrow"]["hr@20"] == rows["narrow"]["hr@5"] <= rows["plain"]["hr@20"]
    assert all(len(line["items"]) == 3 for line in wide)


def test_ranks_are_of_the_whole_list_not_of_what_is_kept(shop: Path) -> None:
    """Three items are kept; ranks reach to 20, and give the stored metrics."""
    lines, row = stored(shop, "plain"), json.loads((shop / "metrics.json").read_text())["plain"]
    for line in lines:
        place = line["items"].index(line["target"]) + 1 if line["target"] in line["items"] else 0
        assert line["rank"] == place or line["rank"] > 3
        assert line["ties"] == 1
    for k in (5, 10, 20):
        assert row[f"hr@{k}"] == pytest.approx(sum(0 < line["rank"] <= k for line in lines) / 50)


def test_the_page_does_what_it_says(
    shop: Path, call: Run, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    page = PAGE.read_text()
    (code,) = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    monkeypatch.chdir(shop.parents[1])
    Path("page.py").write_text(code)
    names = runpy.run_path("page.py")
    assert [len(names["first"]), len(names["second"])] == [3, 3]
    assert all(isinstance(one, Recommended) for one in names["first"])
    assert len(capsys.readouterr().out.splitlines()) == 3
    Path("visitors.txt").write_text("item-00002, item-00014\nitem-00007\n")
    commands = [line.removeprefix("$ lasar-kit ").split() for line in page.splitlines() if line[:1] == "$"]
    first, many, file = commands
    code_, out, err = call(*first)
    assert (code_, err) == (0, "")
    assert len(re.findall(r"^ +[123]  ", out, re.MULTILINE)) == 3
    code_, out, _ = call(*many)
    lines = [json.loads(line) for line in out.splitlines()]
    assert (code_, [line["history"] for line in lines]) == (0, [["item-00002", "item-00014"], ["item-00007"]])
    assert [one["item"] for one in lines[0]["items"]][:3] == [one.item for one in names["first"]]
    assert call(*file)[:2] == (0, "lists.parquet: 2 lists behind 2 histories\n")
    written = pl.read_parquet("lists.parquet")
    assert (
        re.findall(r"`(\w+)`", "".join(re.findall(r"^\| (`.*?) \|", page, re.MULTILINE))) == written.columns
    )
    assert written["items"][0].to_list() == [one.item for one in names["first"]][:2]
    assert lines[1]["items"][0] == {
        "item": names["second"][0].item,
        "title": names["second"][0].title,
        "score": names["second"][0].score,
    }


def test_it_loads_once(shop: Path, call: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    loads, load = [], Recommender.load
    monkeypatch.setattr(Recommender, "load", lambda *given: loads.append(1) or load(*given))
    Path("many.txt").write_text("item-00001\n" * 70)
    code, out, _ = call("recommend", "runs/shop", "--histories", "many.txt", "-k", "1")
    assert (code, len(loads), len(re.findall(r"many.txt:\d+", out))) == (0, 1, 70)


def test_all_mistakes_of_a_file_are_told(call: Run) -> None:
    Path("wrong.txt").write_text("item-00001,itm-00002\nitem-00003\nitem-0004\n")
    code, out, err = call("recommend", "runs/shop", "--histories", "wrong.txt", "--json", "--refuse-unknown")
    assert (code, out) == (2, "")
    first, second = err.splitlines()
    assert first.startswith("wrong.txt:1: no item 'itm-00002' in this run; did you mean 'item-00")
    assert second.startswith("wrong.txt:3: no item 'item-0004' in this run; did you mean 'item-00")


def test_an_unknown_id_costs_no_other_history_its_list(call: Run) -> None:
    Path("some.txt").write_text('item-00001\nitm-00002,item-00003\n["item-00003"]\n')
    code, out, err = call("recommend", "runs/shop", "--histories", "some.txt", "--json", "-k", "2")
    lines = [json.loads(line) for line in out.splitlines()]
    assert [(line["history"], len(line["items"])) for line in lines] == [
        (["item-00001"], 2),
        (["itm-00002", "item-00003"], 0),
        (["item-00003"], 2),
    ]
    assert code == 0
    assert re.fullmatch(r"some.txt:2: no item 'itm-00002' in this run; did you mean 'item-\d+'\?\n", err)
    code, out, _ = call("recommend", "runs/shop", "--histories", "some.txt", "-k", "2")
    assert (code, re.findall(r"some.txt:\d", out)) == (0, ["some.txt:1", "some.txt:3"])
    alone = json.loads(call("recommend", "runs/shop", "--history", "item-00003", "--json", "-k", "2")[1])
    assert alone["items"] == lines[2]["items"]
    assert call("recommend", "runs/shop", "--history", "itm-1")[:2] == (2, "")


@pytest.mark.parametrize(
    ("text", "ids"),
    [
        ("a, b", ["a", "b"]),
        ('"Soap, small",12', ["Soap, small", "12"]),
        ('"""quoted""", x', ['"quoted"', "x"]),
        ('  "  padded " , 6" pipe ,b', ["  padded ", '6" pipe', "b"]),
        ('["a,b", "c\\nd", "  e"]', ["a,b", "c\nd", "  e"]),
        ('{"history": ["a,b"], "items": []}', ["a,b"]),
        ("[/b],{c", ["[/b]", "{c"]),
        ('a,"b,"', ["a", "b,"]),
        *((wrong, None) for wrong in ("a,", ",a", "", " ", '""', "[1]", "[]", "{}", '["a", ""]')),
    ],
)
def test_ids_of_any_kind(text: str, ids: list[str] | None) -> None:
    if ids is not None:
        assert histories(text, None) == [("--history", ids)]
        return
    with pytest.raises(UserError, match="must be item ids with commas between them"):
        histories(text, None)


@given(st.lists(st.text(min_size=1), min_size=1))
def test_any_ids_can_be_written_both_ways(ids: list[str]) -> None:
    quoted = ",".join('"' + one.replace('"', '""') + '"' for one in ids)
    assert histories(quoted, None) == histories(json.dumps(ids), None) == [("--history", ids)]


def test_histories_are_read(tmp_path: Path) -> None:
    (file := tmp_path / "h.txt").write_text("\ufeffa, b\nc\u2028d\n", encoding="utf-8")
    assert histories(None, file) == [(f"{file}:1", ["a", "b"]), (f"{file}:2", ["c\u2028d"])]
    assert histories("a,b ", None) == [("--history", ["a", "b"])]
    for text, told in (
        (b"a,,b\nx\n\n", ":1: must be item ids with"),
        (b"", ": holds no"),
        (b"\xff", "be UTF-8"),
    ):
        file.write_bytes(text)
        with pytest.raises(UserError, match=told) as caught:
            histories(None, file)
        assert len(caught.value.lines) == (2 if text[:1] == b"a" else 1)
    with pytest.raises(UserError, match="cannot be read: No such file"):
        histories(None, tmp_path / "none")
    for both in ((None, None), ("a", file)):
        with pytest.raises(UserError, match="give either --history"):
            histories(*both)


def test_what_data_hold_is_no_markup(capsys: pytest.CaptureFixture[str]) -> None:
    odd = [Recommended("[red]7", "[pack of 2] Soap [/b] :heart: \x1b[2J", -1.0)]
    Screen().print(_table(odd, "h[0]:1"))
    shown = capsys.readouterr().out
    assert "[red]7" in shown
    assert "[pack of 2] Soap [/b] :heart: \\x1b[2J" in shown
    assert "h[0]:1" in shown


def test_the_page_on_specs_shows_rankers_and_a_decoder_of_a_stage(tmp_path: Path) -> None:
    page = (PAGE.parent / "specs.md").read_text()
    beside, blend, narrow = re.findall(r"```yaml\nstages:\n(  evaluate:.*?)```", page, re.DOTALL)
    base = SPEC.partition("  plain:")[0]
    (tmp_path / "shop.yaml").write_text(base + beside)
    stage: Any = load_spec(tmp_path / "shop.yaml", [], Catalogue.discover()).spec.stages["evaluate"]
    assert [ranker.called for ranker in stage.beside] == ["popularity", "item_knn_directed", "EASE", "random"]
    (tmp_path / "shop.yaml").write_text(base + blend)
    stage = load_spec(tmp_path / "shop.yaml", [], Catalogue.discover()).spec.stages["evaluate"]
    assert [member.share for member in stage.beside[0].of] == [0.35, 0.35, 0.3]
    (tmp_path / "shop.yaml").write_text(base + narrow)
    spec = load_spec(tmp_path / "shop.yaml", [], Catalogue.discover()).spec
    assert spec.stages["evaluate"].decoder is None  # type: ignore[attr-defined]
    assert spec.stages["narrow"].decoder.width == 20  # type: ignore[attr-defined]
