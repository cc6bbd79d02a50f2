"""`lasar-kit data describe`, and the description that a run keeps."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from lasar_kit.cli.main import main

SPEC = """
name: shop
dataset: {use: csv, interactions: log.csv}
stages:
  tokenize: {use: tokenize, text_encoder: cooccurrence, quantizer: {use: rq_kmeans, levels: 2, codes: 4}}
"""
LOG = "user,item,time\n" + "".join(
    f"u{user},i{(user + step) % 6},{1_600_000_000 + step * 100}\n" * (1 + (step == 4))
    for user in range(6)
    for step in range(5)
)
WARNING = "warning: dataset: 6 of 36 interactions are exact copies of another"
Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def call(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    monkeypatch.chdir(tmp_path)
    Path("s.yaml").write_text(SPEC)
    Path("log.csv").write_text(LOG)

    def run(*arguments: str) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as ended:
            main(list(arguments))
        found = capsys.readouterr()
        assert isinstance(ended.value.code, int)
        return ended.value.code, found.out, found.err

    return run


@pytest.mark.parametrize("given", [("s.yaml",), ("--source", "csv", "--set", "interactions=log.csv")])
def test_a_data_set_is_described(call: Run, given: tuple[str, ...]) -> None:
    code, out, err = call("data", "describe", *given)
    assert (code, err) == (0, "")
    rows = {
        cells[0]: cells[1] for line in out.splitlines() if len(cells := re.split(r"\s{2,}", line.strip())) > 1
    }
    assert rows["users"] == rows["items"] == "6"
    assert rows["sparsity"] == "16.667%"
    assert rows["items a user"] == "6 to 6, mean 6.00, median 6"
    assert rows["samples"] == "18 training, 6 validation, 6 test"
    assert rows["repeats"] == "6, 6 of them exact copies; 6 of the item just before"
    assert rows["target in history"] == "6 of 6 test targets"
    assert WARNING in out
    key = "dataset.copies" if given[0] == "s.yaml" else "copies"
    code, out, _ = call("data", "describe", *given, "--set", f"{key}=drop")
    assert (code, "warning" in out) == (0, False)
    assert "6 interactions by exact copies" in out


def test_as_json(call: Run) -> None:
    code, out, _ = call("data", "describe", "s.yaml", "--json")
    facts = json.loads(out)
    assert (code, facts["users"], facts["copies"], len(facts["warnings"])) == (0, 6, 6, 1)


def test_a_run_keeps_it_and_tells_it_again(call: Run) -> None:
    code, out, _ = call("run", "s.yaml")
    assert (code, WARNING in out) == (0, True)
    assert out.splitlines()[1:3] == [
        "  6 users, 6 items, 36 interactions",
        "  6 to 6 items a user, 6.0 on average; 18 samples to train on, 6 to test",
    ]
    kept = json.loads(Path("runs/shop/stages/dataset/dataset.json").read_text())
    assert kept == json.loads(call("data", "describe", "s.yaml", "--json")[1])
    code, out, _ = call("run", "s.yaml")
    assert "dataset reused, unchanged" in out
    assert WARNING in out


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ((), "data describe: give either a SPEC or --source NAME"),
        (("s.yaml", "--source", "csv"), "data describe: give either a SPEC or --source NAME"),
        (("none.yaml",), "none.yaml"),
        (("--source", "cvs"), "did you mean 'csv'?"),
        (("--source", "csv"), "interactions"),
        (("--source", "csv", "--set", "interactions=none.csv"), "none.csv: no such file"),
    ],
)
def test_mistakes(call: Run, given: tuple[str, ...], told: str) -> None:
    code, out, err = call("data", "describe", *given)
    assert (code, out) == (2, "")
    assert told in err
    assert len(err.splitlines()) == 1
