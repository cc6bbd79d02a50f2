"""Training keeps its curves: small runs of every tutorial, and of each loss that no tutorial turns on.

`runs.yaml` lists the runs and `curves/` holds what each gave: losses and gradient norms of every update,
validations, metrics, and norms of all that was stored, compared within what two processors differ by. A
change that is meant to leave training as it was is held to the last bit on one machine: record with the old
code, compare with the new.

    OMP_NUM_THREADS=1 python -m pytest tests/golden --golden-record DIR     # in a checkout of the old code
    OMP_NUM_THREADS=1 python -m pytest tests/golden --golden-exact DIR      # in one of the new

A change that is meant to change training replaces the curves, and its commit shows which:

    python -m pytest tests/golden --golden-write
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

from tests.small import SPECS

from .comparing import Tolerance, differences
from .recording import ROOT, Recording, for_any_processor, overrides, perform, recording, show, table, written

CURVES = Path(__file__).with_name("curves")
RUNS, SAME, PLANNED = table()["runs"], table()["same"], table()["planned"]


@pytest.fixture(scope="session")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of all runs: beside each other, they share the stages that they have in common."""
    return tmp_path_factory.mktemp("golden")


def write(folder: Path, name: str, what: Recording) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{name}.json").write_text(written(what) + "\n")


@pytest.mark.parametrize("name", RUNS)
def test_a_run_repeats_what_was_kept_of_it(name: str, runs: Path, request: pytest.FixtureRequest) -> None:
    option = request.config.getoption
    exact = recording(perform(name, runs), RUNS[name].get("record"))
    if folder := option("--golden-record", None):
        write(Path(folder), name, exact)
    if option("--golden-write", None):
        write(CURVES, name, for_any_processor(exact))
    if folder or option("--golden-write", None):
        pytest.skip("recorded, not compared")
    if folder := option("--golden-exact", None):
        kept, found, tolerance = Path(folder), exact, None
    else:
        kept, found = CURVES, for_any_processor(exact)
        tolerance = Tolerance(**RUNS[name].get("tolerance", {}))
    wrong = differences(json.loads((kept / f"{name}.json").read_text()), found, tolerance)
    assert not wrong, "\n".join([f"{len(wrong)} differences:", *wrong[:12]])


def test_every_curve_is_of_a_run() -> None:
    assert {file.stem for file in CURVES.iterdir()} == set(RUNS)


def test_every_tutorial_is_run_or_resolves_to_one_that_is_or_is_planned() -> None:
    tutorials = {file.relative_to(ROOT).as_posix() for file in SPECS}
    run = {row["spec"] for row in RUNS.values() if row["spec"].startswith("tutorials")}
    assert tutorials == run | set(SAME) | set(PLANNED)


@pytest.mark.parametrize("spec", PLANNED)
def test_a_planned_spec_has_all_that_its_stages_read(
    spec: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    show(spec, [], tmp_path)
    printed = capsys.readouterr().out
    assert "evaluate" in printed
    assert " run " in printed


@pytest.mark.parametrize("spec", SAME)
def test_a_spec_without_a_run_resolves_to_that_of_another(
    spec: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    row = RUNS[SAME[spec]]
    specs = []
    for path in (spec, row["spec"]):
        show(path, overrides(row), tmp_path)
        specs.append(yaml.safe_load(capsys.readouterr().out.split("\n\n")[0]) | {"name": "the same"})
    assert specs[0] == specs[1]


KEPT = """{
 "log": {"ground": [{"step": 1, "loss": 2.5, "loss_grpo": 3e-7, "validation_hr@10": 0.2}]},
 "weights": {"ground/model.safetensors": {"norm": [4.0, 0.001]}},
 "sha256": {"tokenize/index.json": "ab"}
}"""


@pytest.mark.parametrize(
    ("old", "new", "lines"),
    [
        ("2.5", "2.5002", 0),
        ("2.5", "2.5003", 1),
        ("3e-7", "12e-7", 0),
        ("3e-7", "14e-7", 1),
        ("0.2", "0.25", 0),
        ("0.2", "0.3", 1),
        ("0.001", "0.0017", 0),
        ("0.001", "0.0019", 1),
        ("4.0", "4.0007", 0),
        ("4.0", "4.0009", 1),
        ("4.0", "4", 1),
        ("ab", "ac", 1),
        ('"step": 1', '"step": 2', 1),
        ('"step": 1', '"epoch": 1', 2),
    ],
)
def test_differences_are_told(old: str, new: str, lines: int) -> None:
    kept, found = json.loads(KEPT), json.loads(KEPT.replace(old, new))
    assert len(differences(kept, found, Tolerance())) == lines
    assert len(differences(kept, found, None)) == max(lines, 1)
    assert not differences(found, found, None)
