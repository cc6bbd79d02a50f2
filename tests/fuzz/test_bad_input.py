"""Bad input of every class is told in clear lines, with exit code 2 and nothing half-written.

The cases are those of benchmarks/fuzz.py, fewer of them.
"""

from __future__ import annotations

import itertools
import json
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings

from tests.benchmarks import FOLDER, importing

MODEL_FAULTS = (
    *("a pointer", "cut off", "a wrapper's names", "tensors left out", "more or fewer layers", "shapes"),
    *("two matrices for one", "quantised", "files damaged", "files left out", "odd values", "no tokenizer"),
    *("a larger tokenizer", "no padding token", "chat templates"),
)
pytestmark = pytest.mark.filterwarnings("default")  # a warning is no mistake of the kit's here


@pytest.fixture(scope="module")
def load() -> Iterator[Callable[[str], ModuleType]]:
    """Imports a module of benchmarks/, as it is imported when that is run."""
    with importing() as found:
        yield found


@pytest.fixture(scope="module")
def harness(load: Callable[[str], Any]) -> Any:
    return load("bad_input.harness")


@pytest.fixture(scope="module")
def options(load: Callable[[str], Any]) -> Any:
    return load("bad_input.options").Options.discover()


@pytest.fixture(scope="module")
def run(load: Callable[[str], Any], tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    found: dict[str, bytes] = load("bad_input.commands").finished_run(tmp_path_factory.mktemp("run") / "base")
    return found


def taken_well(harness: Any, strategy: Any, count: int) -> None:
    """So many cases, the same ones each time; the first that is not taken well fails, made no smaller."""

    @settings(
        max_examples=count, database=None, phases=[Phase.generate], suppress_health_check=list(HealthCheck)
    )
    @given(strategy)
    def check(case: Any) -> None:
        with tempfile.TemporaryDirectory() as folder:
            trouble = harness.judge(case, Path(folder))
        assert trouble is None, f"{case}: {trouble}"

    check()


def test_every_option_of_every_component(load: Any, harness: Any, options: Any, tmp_path: Path) -> None:
    """A third of the sweep: of each component, every third type of wrong value."""
    swept: set[str] = set()
    for number, case in enumerate(itertools.islice(load("bad_input.specs").sweep(options), 0, None, 3)):
        (folder := tmp_path / str(number)).mkdir()
        assert (trouble := harness.judge(case, folder)) is None, f"{case}: {trouble}"
        swept.update(case.names)
    assert len(swept) > 0.7 * len({option.place for option in options.found})


@pytest.mark.parametrize(
    "make", ["wrong_types", "out_of_range", "unknown_names", "unknown_options", "left_out", "missing_files"]
)
def test_options(load: Any, harness: Any, options: Any, make: str) -> None:
    taken_well(harness, getattr(load("bad_input.specs"), make)(options), 8)


def test_names_that_lead_out(load: Any, harness: Any) -> None:
    taken_well(harness, load("bad_input.specs").names_that_lead_out(), 8)


@pytest.mark.parametrize("make", ["spec_files", "overrides", "arguments"])
def test_spec_files_and_command_lines(load: Any, harness: Any, make: str) -> None:
    taken_well(harness, getattr(load("bad_input.commands"), make)(), 12)


@pytest.mark.parametrize(
    ("make", "label"),
    [
        *(("wrong_bytes", label) for label in ("empty", "truncated", "not UTF-8", "damaged")),
        *(("wrong_rows", label) for label in ("duplicate ids", "ids out of range", "a user with one item")),
        *(("wrong_rows", label) for label in ("an item without text", "too little", "odd values")),
    ],
)
def test_data_files(load: Any, harness: Any, make: str, label: str) -> None:
    taken_well(harness, getattr(load("bad_input.files"), make)(label), 4)


@pytest.mark.parametrize("make", ["wrong_embeddings", "wrong_index", "few_items"])
def test_other_files(load: Any, harness: Any, make: str) -> None:
    taken_well(harness, getattr(load("bad_input.files"), make)(), 6)


@pytest.mark.parametrize("label", MODEL_FAULTS)
def test_model_folders(load: Any, harness: Any, label: str) -> None:
    taken_well(harness, load("bad_input.models").wrong_models(label), 3)


def test_every_fault_of_model_folders_is_tried(load: Any) -> None:
    assert list(MODEL_FAULTS) == list(load("bad_input.models").FAULTS)


@pytest.mark.parametrize("part", [0, 1, 2])
def test_data_that_mean_something_else(load: Any, harness: Any, part: int) -> None:
    """Every planted fault is told, and sound data raise no line."""
    meaning = load("bad_input.meaning")
    for label in [*meaning.FAULTS, "clean"][part::3]:
        taken_well(harness, meaning.planted(label), 2)


@pytest.mark.parametrize(
    ("told", "printed", "expected"),
    [
        (("copies",), "  warning: ties\n", "does not tell ['copies']"),
        (("copies",), "  warning: copies\n", "None"),
        ((), "  warning: copies\n", "a warning of what is sound"),
        ((), "  12 users\n", "None"),
    ],
)
def test_the_judge_sees_silence(
    harness: Any,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    told: tuple[str, ...],
    printed: str,
    expected: str,
) -> None:
    def command(_: list[str]) -> None:
        sys.stdout.write(printed)
        raise SystemExit(0)

    monkeypatch.setattr(harness, "main", command)
    case = harness.Case("g", "l", ("data",), {}, "accepted", told=told)
    assert expected in str(harness.judge(case, tmp_path))


def test_links(load: Any, harness: Any) -> None:
    taken_well(harness, load("bad_input.links").links(), 25)


@pytest.mark.parametrize("make", ["sizes", "parts", "numbers", "odd_data", "odd_reasoning"])
def test_runs_to_the_end(load: Any, harness: Any, make: str) -> None:
    taken_well(harness, getattr(load("bad_input.whole"), make)(), 3)


@pytest.mark.parametrize("make", ["damaged_runs", "wrong_texts"])
def test_files_of_runs(load: Any, harness: Any, run: dict[str, bytes], make: str) -> None:
    taken_well(harness, getattr(load("bad_input.commands"), make)(run), 10)


@pytest.mark.parametrize(
    ("spoilt", "expected"),
    [
        ({"code": 1}, "exit code 1"),
        ({"raises": ValueError("x")}, "Traceback"),
        ({"code": 0}, "expected it refused"),
        ({"err": "a\x07b\n"}, "cannot be shown"),
        ({"err": "a\n\nb\n"}, "an empty line"),
        ({"err": "x" * 2000}, "a line of 2000 characters"),
        ({"err": "something is wrong\n"}, "does not name"),
        ({"wrote": "beside.txt"}, "changed outside the output"),
        ({"wrote": "out/.model.partial/x"}, "left in the run"),
        ({"wrote": "out/stages/ground/x"}, "half a stage"),
        ({"hangs": True}, "no end within"),
    ],
)
def test_the_judge_sees(
    harness: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, spoilt: dict[str, Any], expected: str
) -> None:
    """A command that behaves badly in one way is found out."""

    def command(_: list[str]) -> None:
        if "wrote" in spoilt:
            Path(spoilt["wrote"]).parent.mkdir(parents=True, exist_ok=True)
            Path(spoilt["wrote"]).write_text("x")
        while spoilt.get("hangs"):
            pass
        sys.stderr.write(spoilt.get("err", "s.yaml:1: key: wrong\n"))
        raise spoilt.get("raises") or SystemExit(spoilt.get("code", 2))

    monkeypatch.setattr(harness, "main", command)
    case = harness.Case("g", "l", ("run",), {"s.yaml": b"x"}, "refused", ("key",))
    seconds = 0.5 if "hangs" in spoilt else 60
    assert expected in str(harness.judge(case, tmp_path, seconds=seconds))


def test_the_stored_results() -> None:
    """The documents tell the whole fuzz as its stored results do."""
    stored = json.loads((FOLDER / "results" / "fuzz.json").read_text())
    assert stored["cases"] >= 500
    assert stored["troubles"] == []
    assert sum(row["cases"] for row in stored["classes"].values()) == stored["cases"]


def test_the_document_holds_the_table_of_the_results(load: Callable[[str], Any]) -> None:
    script, report = load("fuzz"), load("report")
    result = json.loads(script.RESULTS.read_text(encoding="utf-8"))
    document = (FOLDER.parent / "docs" / "errors.md").read_text(encoding="utf-8")
    _, shown, _ = document.split("<!-- table: fuzz -->")
    assert shown.strip() == report.markdown(script.text(result), script.tables(result))
