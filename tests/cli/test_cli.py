"""The command line: what it prints, and exit codes."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

import jsonschema
import pytest

from lasar_kit.cli.main import MODULES, Commands
from lasar_kit.errors import UserError

SPEC = "stages:\n  tokenize: tokenize\n  ground: sft\n  report: evaluate\n"
Call = Callable[..., Any]


@pytest.fixture
def spec(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    Path("spec.yaml").write_text(SPEC)
    return Path("spec.yaml")


def test_check_shows_what_reads_what(call: Call, spec: Path) -> None:
    result = call("check", spec, "--set", "decoder.width=40")
    assert (result.code, result.err) == (0, [])
    assert result.out.splitlines() == [
        "spec.yaml: ok",
        "  tokenize (tokenize): reads dataset of dataset",
        "  ground (sft): reads dataset of dataset, sids of tokenize",
        "  report (evaluate): reads dataset of dataset, sids of tokenize, checkpoint of ground",
    ]


def test_check_tells_every_mistake(call: Call, spec: Path) -> None:
    spec.write_text("seed: -1\nmax_histry: 1\n" + SPEC)
    result = call("check", spec)
    assert (result.code, result.out) == (2, "")
    assert result.err == [
        "spec.yaml:1: seed: must be >= 0 (got -1)",
        "spec.yaml:2: max_histry: unknown key; did you mean 'max_history'?",
    ]


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["check", "none.yaml"], "none.yaml: no such file"),
        (["run", "none.yaml"], "none.yaml: no such file"),
        (["check"], "lasar-kit: Missing argument 'SPEC'; see --help"),
        (["chekc"], "lasar-kit: No such command 'chekc'"),
        (["check", "spec.yaml", "--colour"], "lasar-kit: No such option: --colour"),
        (["check", "spec.yaml", "--set", "seed"], "--set seed: must read key.key=value"),
        (
            ["check", "spec.yaml", "--plugin", "nowhere"],
            "--plugin nowhere: is not a folder with a registry.toml",
        ),
        (
            ["plugins", "show", "quantizer", "rq_kmean"],
            "unknown quantizer 'rq_kmean'; did you mean 'rq_kmeans'?",
        ),
        (["recommend", "run", "--history", "a,,b"], "--history: must be item ids with commas between them"),
        (["recommend", "run", "--history", "a", "-k", "0"], "lasar-kit: Invalid value for '-k': "),
    ],
)
def test_one_line_a_mistake(call: Call, spec: Path, arguments: list[str], line: str) -> None:
    result = call(*arguments)
    assert (result.code, result.out, len(result.err)) == (2, "", 1)
    assert result.err[0].startswith(line)


def test_ctrl_c(call: Call, spec: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("lasar_kit.spec.load_spec", interrupt)
    result = call("check", spec)
    assert (result.code, result.out) == (130, "")
    assert [line for line in result.err if line] == ["interrupted"]


class FakeRunner:
    """Stands in for the engine and keeps what it is called with."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, str, Path, bool]] = []

    def run_spec(self, loaded: Any, catalogue: Any, output: Path, use_cache: bool) -> None:
        self.calls.append(("run", loaded.spec.name, output, use_cache))

    def dry_run(self, loaded: Any, catalogue: Any, output: Path, use_cache: bool) -> None:
        self.calls.append(("dry", loaded.spec.name, output, use_cache))


def test_run_hands_over_to_the_engine(call: Call, spec: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import lasar_kit.run

    runner = FakeRunner()
    monkeypatch.setitem(sys.modules, "lasar_kit.run.runner", runner)  # type: ignore[arg-type]
    monkeypatch.setitem(sys.modules, "lasar_kit.run.dry_run", runner)  # type: ignore[arg-type]
    monkeypatch.setattr(lasar_kit.run, "runner", runner, raising=False)
    assert call("run", spec).code == 0
    assert call("run", spec, "--set", "name=x", "--no-cache").code == 0
    assert call("run", spec, "--output", "there", "--dry-run").code == 0
    assert runner.calls == [
        ("run", "spec", Path("runs/spec"), True),
        ("run", "x", Path("runs/x"), False),
        ("dry", "spec", Path("there"), True),
    ]


def test_listing_as_json(call: Call) -> None:
    result = call("plugins", "list", "--json")
    rows = json.loads(result.out)
    assert (result.code, result.err) == (0, [])
    assert {
        "kind": "quantizer",
        "name": "rq_kmeans",
        "summary": "Residual k-means, plain or balanced, level by level.",
        "origin": "lasar-kit:builtin",
        "paper": "GREAM / LASAR Eq. 1",
        "config": "lasar_plugins.quantizer.rq_kmeans.config:RqKmeansConfig",
        "build": "lasar_plugins.quantizer.rq_kmeans.quantizer:RqKmeans",
    } in rows
    assert all(set(row) == set(rows[0]) for row in rows)


def test_listing_names_what_is_broken(call: Call, write_plugin: Callable[..., Path]) -> None:
    folder = write_plugin("ruin", registry="[nothing.x]\n")
    result = call("plugins", "list", "--plugin", folder)
    assert result.code == 0
    assert "rq_kmeans" in result.out
    assert len(result.err) == 1
    assert result.err[0].startswith(f"plugin {folder}: ")


def test_showing_a_component_of_a_folder(call: Call, write_plugin: Callable[..., Path]) -> None:
    folder = write_plugin("shown")
    result = call("plugins", "show", "quantizer", "mine", "--plugin", folder)
    assert result.code == 0
    assert "quantizer mine: A quantizer for tests." in result.out
    assert f"origin: {folder}" in result.out
    row = next(line for line in result.out.splitlines() if line.startswith("levels"))
    assert row.split() == ["levels", "integer", "2", ">=", "1", "How", "many", "levels."]
    example = "stages:\n  tokenize:\n    use: tokenize\n    quantizer:\n      use: mine\n      levels: 2\n"
    assert result.out.endswith(f"example\n{example}")


def test_every_built_in_can_be_shown(call: Call) -> None:
    for row in json.loads(call("plugins", "list", "--json").out):
        result = call("plugins", "show", row["kind"], row["name"])
        assert result.code == 0
        assert f"use: {row['name']}" in result.out


def test_the_schema_knows_every_component(call: Call) -> None:
    result = call("schema")
    schema = json.loads(result.out)
    assert (result.code, result.err) == (0, [])
    jsonschema.Draft202012Validator.check_schema(schema)
    rows = json.loads(call("plugins", "list", "--json").out)
    assert {f"{row['kind']}.{row['name']}" for row in rows} <= set(schema["$defs"])


def test_every_command_is_where_it_is_said_to_be(call: Call) -> None:
    result = call("--help")
    rows = [line[2:] for line in result.out.partition("Commands")[2].splitlines() if line.startswith("│ ")]
    shown = [row.split()[0] for row in rows if not row.startswith(" ")]
    assert shown == list(MODULES)
    assert [command.name for command in Commands().values()] == shown


def test_flags_take_no_value(call: Call) -> None:
    for command in ((), ("run",), ("plugins", "list"), ("data", "describe")):
        assert "bool" not in call(*command, "--help").out.lower()


def test_libraries_show_no_bars_of_their_own(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    from transformers.utils import logging

    import lasar_kit.testing

    def check(*asked: object) -> NoReturn:
        raise UserError(f"bars: {logging.is_progress_bar_enabled()}", f"on {asked[-1]}")

    monkeypatch.setattr(lasar_kit.testing, "check_component", check)
    logging.enable_progress_bar()  # type: ignore[no-untyped-call]
    assert call("plugins", "check", "aligner", "stepwise").err == ["bars: False", "on cpu"]
    assert call("plugins", "check", "aligner", "stepwise", "--device", "meta").err[1] == "on meta"
    (line,) = call("plugins", "check", "aligner", "stepwise", "--device", "gpu").err
    assert line.startswith("--device gpu: ")


def test_where_a_page_is_written_is_said(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lasar_kit.report.html.write_page", lambda *_: None)
    result = call("report", "runs/mine", "--html", "pages/mine.html")
    assert (result.code, result.out) == (0, "page in pages/mine.html, its figures in pages/mine_figures\n")
