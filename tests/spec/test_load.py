"""Loading specs: what is told of mistakes, extending, overriding, paths, and the resolved spec."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lasar_kit.errors import UserError
from lasar_kit.spec import RunSpec, load_spec
from tests.spec.conftest import STAGES, Folder, options


def test_defaults_are_filled_in(folder: Folder) -> None:
    spec = folder.load(spec=STAGES).spec
    assert (spec.name, spec.seed, spec.max_history) == ("spec", 0, 20)
    assert [spec.dataset.use, spec.backbone.use, spec.prompt.use] == ["demo", "qwen3", "minionerec"]
    assert list(spec.stages) == ["tokenize", "ground", "report"]
    ground = options(spec.stages["ground"])
    assert ground["optimizer"] == {"lr": 0.0005, "clip": 1.0}
    assert options(spec.stages["tokenize"])["quantizer"] == {"use": "kmeans", "levels": 3, "balanced": False}


MISTAKEN = """\
seed: -1
max_histry: 3
dataset: {use: files}
backbone:
  use: qwn3
prompt:
  rate: 2
decoder:
  width: true
stages:
  "a b": tokenize
  dataset: tokenize
  tokenize:
    use: tokenize
    colour: red
    quantizer:
      use: kmeans
      levels: 2.5
      balanced: perhaps
    others: [kmeans, {use: keans}, 3]
  ground:
    use: train
    epochs: "3"
    optimizer: {lr: -1, clp: 2}
  report: {from: ground}
  last: 7
"""


def test_every_mistake_at_once_in_the_order_of_the_file(folder: Folder) -> None:
    decoder = [line for line in folder.mistakes(spec=MISTAKEN) if ":9:" in line]
    assert decoder == ["spec.yaml:9: decoder.width: must be an integer (got true)"]
    assert [line for line in folder.mistakes(spec=MISTAKEN) if ":9:" not in line] == [
        "spec.yaml:1: seed: must be >= 0 (got -1)",
        "spec.yaml:2: max_histry: unknown key; did you mean 'max_history'?",
        "spec.yaml:3: dataset.path: is missing",
        "spec.yaml:5: backbone.use: unknown backbone 'qwn3'; did you mean 'qwen3'?",
        "spec.yaml:7: prompt.rate: must be <= 1 (got 2)",
        "spec.yaml:11: stages.a b: must be a name of letters, digits, '-', '_' and '.' (got 'a b')",
        "spec.yaml:12: stages.dataset: is taken by the stage that loads the data set; "
        "choose another name (got 'dataset')",
        "spec.yaml:15: stages.tokenize.colour: unknown option of tokenize; "
        "valid: from, maybe, others, quantizer, use",
        "spec.yaml:18: stages.tokenize.quantizer.levels: must be an integer (got 2.5)",
        "spec.yaml:19: stages.tokenize.quantizer.balanced: must be true or false (got 'perhaps')",
        "spec.yaml:20: stages.tokenize.others[1].use: unknown quantizer 'keans'; did you mean 'kmeans'?",
        "spec.yaml:20: stages.tokenize.others[2]: must be a quantizer "
        "(a name, or a table with 'use') (got 3)",
        "spec.yaml:23: stages.ground.epochs: must be an integer (got '3')",
        "spec.yaml:24: stages.ground.optimizer.lr: must be > 0 (got -1)",
        "spec.yaml:24: stages.ground.optimizer.clp: unknown key; did you mean 'clip'?",
        "spec.yaml:25: stages.report.use: is missing: which stage?",
        "spec.yaml:26: stages.last: must be a stage (a name, or a table with 'use') (got 7)",
    ]


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        ("seed: 1", ["spec.yaml:1: stages: is missing"]),
        ("stages: {}", ["spec.yaml:1: stages: must hold at least 1 (got 0)"]),
        ("stages: [tokenize]", ["spec.yaml:1: stages: must be a table (got a list)"]),
        ("stages:", ["spec.yaml:1: stages: must be a table (got null)"]),
        (
            "name: ../x\n" + STAGES,
            ["spec.yaml:1: name: must be a name of letters, digits, '-', '_' and '.' (got '../x')"],
        ),
        (
            "name: ..\n" + STAGES,
            ["spec.yaml:1: name: must be a name of letters, digits, '-', '_' and '.' (got '..')"],
        ),
        ("dataset: {use: 3}\n" + STAGES, ["spec.yaml:1: dataset.use: must be the name of a dataset (got 3)"]),
        ("dataset: {use: files, path: 3}\n" + STAGES, ["spec.yaml:1: dataset.path: must be a path (got 3)"]),
        ("prompt: {rate: .nan}\n" + STAGES, ["spec.yaml:1: prompt.rate: must be a finite number (got nan)"]),
        ("prompt: {rate: 1:30}\n" + STAGES, ["spec.yaml:1: prompt.rate: must be a number (got '1:30')"]),
        ("seed: 1\nseed: 2", ["spec.yaml:2: seed: stands here twice, first on line 1"]),
        ("", ["spec.yaml: is empty"]),
    ],
)
def test_single_mistakes(folder: Folder, text: str, lines: list[str]) -> None:
    assert folder.mistakes(spec=text) == lines


def test_a_missing_file(folder: Folder) -> None:
    assert folder.mistakes() == ["spec.yaml: no such file"]


def test_a_file_whose_name_is_no_name(folder: Folder) -> None:
    Path("my run.yaml").write_text(STAGES)
    with pytest.raises(UserError, match=r"^my run\.yaml: name: must be a name"):
        load_spec(Path("my run.yaml"), (), folder.catalogue)


def test_overrides(folder: Folder) -> None:
    sets = [
        "seed=3",
        "stages.ground.epochs=4",
        "prompt.rate=5e-1",
        "decoder.width=7",
        "stages.report.from=ground",
    ]
    spec = folder.load(*sets, "stages.tokenize.quantizer={use: plain, rate: 1}", spec=STAGES).spec
    assert (spec.seed, spec.decoder.width) == (3, 7)
    assert options(spec.prompt) == {"use": "minionerec", "rate": 0.5}
    assert options(spec.stages["ground"])["epochs"] == 4
    assert spec.stages["report"].from_ == "ground"
    assert options(spec.stages["tokenize"])["quantizer"] == {"use": "plain", "rate": 1.0}


def test_a_null_override_takes_a_value_back(folder: Folder) -> None:
    assert folder.load("seed=null", "stages.report=", spec="seed: 4\n" + STAGES).spec.seed == 0


def test_mistakes_in_overrides(folder: Folder) -> None:
    assert folder.mistakes("seed", "=3", "a..b=1", "x=[", spec=STAGES) == [
        "--set seed: must read key.key=value",
        "--set =3: must read key.key=value",
        "--set a..b=1: must read key.key=value",
        "--set x: is not YAML: while parsing a flow node, "
        "expected the node content, but found the end of the file",
    ]
    assert sorted(folder.mistakes("seed=-1", "stages.ground.lr=1", "stages.report.from=x", spec=STAGES)) == [
        "--set seed: seed: must be >= 0 (got -1)",
        "--set stages.ground.lr: stages.ground.lr: unknown option of train; "
        "valid: epochs, from, optimizer, use",
    ]
    assert folder.mistakes("stages.report.from=x", spec=STAGES) == [
        "--set stages.report.from: stages.report.from: no earlier stage is called 'x'; "
        "valid: dataset, ground, tokenize"
    ]


def test_paths_start_where_they_are_written(folder: Folder, tmp_path: Path) -> None:
    Path("sub").mkdir()
    Path("sub/base.yaml").write_text("dataset: {use: files, path: data, extra: [../x, /y]}\n" + STAGES)
    extending = "extends: sub/base.yaml\n"
    base, own, override = [
        options(folder.load(*sets, spec=text).spec.dataset)["path"]
        for sets, text in (
            ((), extending),
            ((), extending + "dataset: {path: data}"),
            (("dataset.path=here/../data",), extending),
        )
    ]
    assert (base, own, override) == (tmp_path / "sub/data", tmp_path / "data", tmp_path / "data")
    assert options(folder.load(spec=extending).spec.dataset)["extra"] == (tmp_path / "x", Path("/y"))


def test_a_spec_elsewhere_reads_its_own_paths(folder: Folder, tmp_path: Path) -> None:
    Path("sub").mkdir()
    Path("sub/spec.yaml").write_text("dataset: {use: files, path: data}\n" + STAGES)
    loaded = load_spec(Path("sub/spec.yaml"), ("dataset.extra=[data]",), folder.catalogue)
    dataset = options(loaded.spec.dataset)
    assert (dataset["path"], dataset["extra"]) == (tmp_path / "sub/data", (tmp_path / "data",))


SETS = st.fixed_dictionaries(
    {},
    optional={
        "seed": st.integers(0, 2**32 - 1).map(str),
        "prompt.rate": st.floats(1e-300, 1).map(repr) | st.just("null"),
        "dataset.ids": st.lists(
            st.sampled_from(["5", "'5'", '"on"', "on", "'5e-4'", "null x", "' '", "'~'", "''"])
        ).map(lambda ids: f"[{', '.join(text for text in ids if text[0] in chr(39) + chr(34))}]"),
        "backbone": st.sampled_from(["gpt2", "{use: gpt2, rate: 1}"]),
        "stages.tokenize.others": st.lists(
            st.sampled_from(["kmeans", "{use: plain}", "{use: kmeans, levels: 2}"])
        ).map(lambda names: f"[{', '.join(names)}]"),
        "stages.tokenize.maybe": st.sampled_from(["kmeans", "plain"]),
        "stages.ground.optimizer.lr": st.floats(1e-9, 1e9).map(repr),
        "stages.report.from": st.sampled_from(["ground", "tokenize", "dataset"]),
    },
)


@given(SETS)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
def test_the_resolved_spec_loads_to_the_same(folder: Folder, sets: dict[str, str]) -> None:
    overrides = [f"{key}={value}" for key, value in sets.items()]
    loaded = folder.load(*overrides, spec=STAGES)
    Path("lock.yaml").write_text(loaded.dump())
    again = load_spec(Path("lock.yaml"), (), folder.catalogue)
    assert again.spec == loaded.spec
    assert again.plan == loaded.plan
    assert again.dump() == loaded.dump()
    assert list(again.spec.stages) == list(loaded.spec.stages)


def test_configs_stand_for_themselves_without_a_catalogue(folder: Folder) -> None:
    spec = folder.load(spec=STAGES).spec
    assert RunSpec.model_validate(dict(spec)) == spec
    with pytest.raises(ValueError, match="give its config object, or a catalogue as context"):
        RunSpec.model_validate({"name": "x", "stages": {"a": "tokenize"}})
