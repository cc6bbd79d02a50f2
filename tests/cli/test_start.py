"""The command line starts, and tells what is wrong, before torch and the like are loaded."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

SPEC = "stages:\n  tokenize: tokenize\n  ground: sft\n  report: evaluate\n"
START = "main plugins"
HEAVY = ("torch", "numpy", "polars", "transformers", "sklearn", "sentence_transformers")


@pytest.fixture
def spec(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    Path("spec.yaml").write_text(SPEC)
    return Path("spec.yaml")


def alone(program: str) -> subprocess.CompletedProcess[str]:
    """What a program prints in a process of its own, which finds modules where this one does."""
    command = [sys.executable, "-c", f"import sys; sys.path[:0] = {sys.path!r}\n{program}"]
    return subprocess.run(command, capture_output=True, text=True, check=True)


@pytest.mark.parametrize(
    ("arguments", "modules"),
    [
        (
            ["--help"],
            "data exporting histories items main plugins presets recommending results serving suites",
        ),
        (["plugins", "list"], f"listing {START}"),
        (["plugins", "show", "stage", "sft"], f"listing {START} showing"),
        (["plugins", "new", "backbone", "my_backbone"], START),
        (["check", "spec.yaml"], START),
        (["schema"], START),
    ],
)
def test_nothing_is_imported_that_a_command_does_without(
    spec: Path, arguments: list[str], modules: str
) -> None:
    """Neither torch and the like nor other commands; nor are models of options made that no spec names."""
    program = (
        "import gc, sys\nusual = gc.get_threshold()\nfrom lasar_kit.__main__ import AT_FIRST, main\n"
        f"sys.argv[1:] = {arguments!r}\n"
        "try:\n    main()\nexcept SystemExit as done:\n    assert done.code == 0\n"
        "late = gc.get_threshold() == (AT_FIRST, *usual[1:])\ngc.collect()\n"
        "print('garbage:', late, gc.get_threshold() == usual, gc.callbacks)\n"
        f"print('heavy:', [name for name in {HEAVY!r} if name in sys.modules])\n"
        "inside = 'lasar_kit.cli.'\n"
        "print(*sorted(name.removeprefix(inside) for name in sys.modules if name.startswith(inside)))\n"
        "options = 'lasar_kit.spec' in sys.modules\n"
        "from lasar_kit.spec import SpecModel, StageConfig\n"
        "print('options:', options, SpecModel.__pydantic_complete__, StageConfig.__pydantic_complete__)"
    )
    # Specs with other components than the defaults are covered by the import contracts.
    found = alone(program)
    options = arguments != ["plugins", "list"]
    assert found.stdout.splitlines()[-4:] == [
        "garbage: True True []",
        "heavy: []",
        modules,
        f"options: {options} False False",
    ]
    assert found.stderr == ""


RUN_COMMANDS = [
    ["recommend", "gone", "--history", "a"],
    ["recommend", "gone", "--histories", "spec.yaml", "--output", "lists.parquet"],
    ["explain", "gone", "--history", "a"],
    ["serve", "gone"],
    ["export", "gone", "--to", "there"],
    ["items", "add", "gone", "items.csv"],
    ["items", "withdraw", "gone", "a"],
    ["items", "list", "gone"],
    ["report", "gone"],
    ["report", "gone", "--html", "page.html"],
    ["compare", "gone"],
    ["suite", "gone.yaml"],
    ["study", "gone.yaml"],
]


def before_torch(commands: Sequence[Sequence[str]]) -> list[str]:
    """The line of each command, which must end with exit code 2 before torch is loaded: in a process a
    command, all of one that has loaded nothing heavy."""
    program = (
        "import os, sys\nfrom lasar_kit.cli.main import main\n"
        f"for arguments in {commands!r}:\n"
        "    sys.stdout.flush()\n    if os.fork():\n        os.wait()\n        continue\n"
        "    sys.stderr = sys.stdout\n    try:\n        main(arguments)\n"
        "    except SystemExit as done:\n        print(done.code, 'torch' in sys.modules)\n"
        "        sys.exit()\n"
    )
    found = alone(program)
    lines = found.stdout.splitlines()
    assert lines[1::2] == ["2 False"] * len(commands), found.stdout + found.stderr
    return lines[::2]


def test_what_is_not_there_is_told_before_torch_is_loaded(spec: Path) -> None:
    told = ["gone: is not the folder of a run, there is no such folder"] * 8
    told += ["gone: is not the folder of a finished run, there is no such folder"] * 3
    assert before_torch(RUN_COMMANDS) == [*told, *["gone.yaml: no such file"] * 2]


SUITE = "spec: spec.yaml\nrows: {{as it is: {{}}, other: {{set: {{{0}}}}}}}\n"
MISTAKES = {
    "stages: {ground: {epochs: -1}}": "stages.ground.epochs: must be > 0 (got -1)",
    "stages: {ground: {epoch: 1}}": "stages.ground.epoch: unknown option of sft; did you mean 'epochs'?",
    "dataset: {use: csv, interactions: a}": "dataset.interactions: no such file or folder: {0}/a",
}
THINKS = SPEC.replace("ground: sft", "ground: {use: sft, latent_loop: coconut, depth_policy: fixed}")


def test_mistakes_of_many_runs_are_told_before_torch_is_loaded(spec: Path) -> None:
    """In what a row changes, in a file that a run reads, in what is shown, and in where runs are to go."""
    Path("spec.yaml").write_text(THINKS)
    Path("data.yaml").write_text(THINKS + "dataset: {use: csv, interactions: a}\n")
    names = [f"suite{number}.yaml" for number in range(len(MISTAKES))]
    for name, change in zip(names, MISTAKES, strict=True):
        Path(name).write_text(SUITE.format(change))
    Path("shown.yaml").write_text(SUITE.format("seed: 1") + "show: [{use: curves, stage: grund}]\n")
    commands = [["suite", name] for name in (*names, "shown.yaml")]
    told = [f"{name}:2: {line}" for name, line in zip(names, MISTAKES.values(), strict=True)]
    told.append("shown.yaml:3: show[0].stage: no run has a stage 'grund'; did you mean 'ground'?")
    commands += [["study", "spec.yaml", "--set", "seed=-1"], ["study", "data.yaml"]]
    told += ["--set seed: seed: must be >= 0 (got -1)", f"data.yaml:5: {[*MISTAKES.values()][-1]}"]
    commands.append(["study", "spec.yaml", "--output", "spec.yaml"])
    told.append("--output spec.yaml/spec-0: is not a folder, nor can it be one")
    assert before_torch(commands) == [line.format(Path.cwd()) for line in told]
