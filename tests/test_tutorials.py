"""The tutorials and the examples of the documents, as they stand."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from lasar_kit.catalogue import Catalogue
from lasar_kit.data import stored_dataset
from lasar_kit.run import runner
from lasar_kit.serve.recommend import recommend
from lasar_kit.spec import load_spec
from tests.benchmarks import importing
from tests.small import SPECS

ROOT = Path(__file__).resolve().parents[1]
DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


def blocks(document: Path, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", document.read_text(), re.DOTALL | re.MULTILINE)


@pytest.mark.parametrize("path", SPECS, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_every_tutorial_is_a_valid_spec(path: Path) -> None:
    loaded = load_spec(path, (), Catalogue.discover())
    assert [stage.name for stage in loaded.plan]


def test_the_readme_specs_are_valid_and_the_ablation_extends_the_first(tmp_path: Path) -> None:
    mine, ablation = blocks(ROOT / "README.md", "yaml")
    (tmp_path / "mine.yaml").write_text(mine)
    (tmp_path / "ablation.yaml").write_text(ablation)
    catalogue = Catalogue.discover()
    base = load_spec(tmp_path / "mine.yaml", (), catalogue)
    changed = load_spec(tmp_path / "ablation.yaml", (), catalogue)
    assert list(base.spec.stages) == list(changed.spec.stages) == ["tokenize", "ground", "evaluate"]
    assert not base.spec.stages["tokenize"].quantizer.balanced  # type: ignore[attr-defined]
    assert changed.spec.stages["tokenize"].quantizer.balanced  # type: ignore[attr-defined]


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_links_between_documents_lead_somewhere(document: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+)[^)]*\)", document.read_text()):
        if "://" not in target:
            assert (document.parent / target).exists(), target


QUICKSTART = ROOT / "tutorials" / "quickstart.yaml"
RESULTS = ROOT / "benchmarks" / "results" / "quickstart.json"
BESIDE = ["popularity", "item_knn", "item_knn_directed", "random"]
LABELS = ["MiniOneRec (SFT)", "LASAR (SFT)", "MiniOneRec trained as long", "LASAR (RL)"]
NAMES = ("hr@5", "hr@10", "hr@20", "ndcg@5", "ndcg@10", "ndcg@20")


def run_quickstart(output: Path, *overrides: str) -> dict[str, Any]:
    catalogue = Catalogue.discover()
    runner.run_spec(load_spec(QUICKSTART, overrides, catalogue), catalogue, output, use_cache=True)
    return json.loads((output / "metrics.json").read_text())  # type: ignore[no-any-return]


@pytest.fixture(scope="module")
def quickstart(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The quickstart's own shop and semantic IDs, and a model that has learnt from them for two epochs."""
    output = tmp_path_factory.mktemp("runs") / "quickstart"
    later = ("anchors", "reason", "lasar_sft", "more", "minionerec_more", "rl", "lasar_rl")
    short = ("stages.ground.epochs=2", "stages.ground.eval_every=2")
    run_quickstart(output, *(f"stages.{stage}=null" for stage in later), *short)
    return output


def table(text: str, left_out: bool = False) -> dict[str, list[float]]:
    """Rows of results by label, of lists with the history or without."""
    text = text.split("history left out of the lists")[left_out]
    rows = re.findall(r"^ *(\S.*?)((?: +\d+\.\d{2,4}){6,7}) *$", text, re.MULTILINE)
    return {label: [float(cell) for cell in cells.split()] for label, cells in rows}


def test_the_quickstart_runs_the_whole_of_lasar_and_ends_in_a_table_a_protocol(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """All its stages, on a small shop."""
    small = ["dataset.users=60", "dataset.items=72", "stages.tokenize.quantizer.codes=16"]
    small += [f"stages.{stage}.epochs=1" for stage in ("ground", "reason", "more")]
    small += ["stages.rl.max_samples=128"]
    metrics = run_quickstart(tmp_path / "small", *small)
    out = capsys.readouterr().out
    assert [row["label"] for row in metrics.values()] == LABELS
    for protocol, left_out in (("history_in", False), ("history_out", True)):
        shown = table(out, left_out)
        assert list(shown) == [*BESIDE, *LABELS]
        for row in metrics.values():
            expected = [row[protocol][name] for name in NAMES]
            assert shown[row["label"]][:6] == pytest.approx(expected, abs=6e-5)
            assert shown[row["label"]][-1] == pytest.approx(row["mean_depth"], abs=5e-3)
    assert shown["MiniOneRec (SFT)"][-1] == 0 < shown["LASAR (RL)"][-1]


def test_two_epochs_of_the_quickstart_beat_popularity_three_times_and_item_knn(quickstart: Path) -> None:
    row = json.loads((quickstart / "metrics.json").read_text())["minionerec"]
    assert row["users"] == 2000
    assert row["hr@10"] >= 3 * row["baselines"]["popularity"]["hr@10"]
    assert (
        row["hr@10"] > row["baselines"]["item_knn_directed"]["hr@10"] > row["baselines"]["item_knn"]["hr@10"]
    )


def test_the_readme_shows_what_the_quickstart_prints(quickstart: Path) -> None:
    """In both protocols: models as the stored run has them to the digit, baselines as they are here."""
    block = (ROOT / "README.md").read_text().split("```")[1]
    stored = {row["label"]: row for row in json.loads(RESULTS.read_text())["runs"]["0"].values()}
    here = json.loads((quickstart / "metrics.json").read_text())["minionerec"]
    for protocol, left_out in (("history_in", False), ("history_out", True)):
        shown = table(block, left_out)
        assert list(shown) == [*BESIDE, *LABELS]
        for label in LABELS:
            expected = [stored[label][protocol][name] for name in NAMES]
            assert shown[label][:6] == pytest.approx(expected, abs=6e-5)
            assert shown[label][6] == pytest.approx(stored[label]["mean_depth"], abs=6e-3)
        for baseline, values in here[protocol]["baselines"].items():
            assert shown[baseline] == pytest.approx([values[name] for name in NAMES], abs=6e-5)
    ceiling = here["history_out"]["ceiling"]
    told = (
        f"{here['targets_in_history']} targets stand in their users' histories: HR can reach {ceiling:.4f}\n"
    )
    assert told in block


@pytest.fixture
def benchmark() -> Iterator[Any]:
    """benchmarks/quickstart.py."""
    with importing() as load:
        yield load("quickstart")


def test_the_documents_tell_of_three_seeds(benchmark: Any) -> None:
    """The tables are those of the stored runs: LASAR is above each control in each, in both protocols."""
    stored = json.loads(RESULTS.read_text())
    assert set(stored["runs"]) == {"0", "1", "2"}
    for document, marker, shown in (
        ("README.md", "quickstart", benchmark.table(stored)),
        ("docs/data.md", "add_ons", benchmark.by_add_ons(stored)),
    ):
        assert (ROOT / document).read_text().split(f"<!-- table: {marker} -->")[1].strip() == shown
    for protocol, p in stored["p"].items():
        for control in p.keys() - {"lasar_sft"}:
            assert p[control] < 0.05
            runs = [run for run in stored["runs"].values() if control in run]
            assert len(runs) == 3 or control in ("pause_positions", "noise_thoughts")
            assert all(
                run["lasar_rl"][protocol]["ndcg@10"] > run[control][protocol]["ndcg@10"] for run in runs
            )
        assert p.keys() > {"minionerec", "minionerec_more", "pause_positions", "noise_thoughts"}


def test_the_readme_recommends_what_the_shop_sells(
    quickstart: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Which three items come first may change with the processor; their ids and titles do not."""
    readme = (ROOT / "README.md").read_text()
    command = re.search(r"recommend runs/quickstart --history (\S+) -k 3", readme)
    assert command is not None
    recommend(quickstart, [("--history", command[1].split(","))], 3, Catalogue.discover())
    assert len(re.findall(r" item-\d+ ", capsys.readouterr().out)) == 3
    items = stored_dataset.load(quickstart / "stages" / "dataset").items
    titles = dict(zip(items["id"], items["title"], strict=True))
    shown = re.findall(r"^ +\d +(item-\d+) +(\S.*?) +-\d", readme, re.MULTILINE)
    assert len(shown) == 3
    assert all(titles[item] == title for item, title in shown)
