"""The tutorials and the examples of the documents, as they stand."""

import json
import re
from pathlib import Path

import pytest

from lasar_kit.catalogue import Catalogue
from lasar_kit.engine import runner, stored_dataset
from lasar_kit.engine.recommend import recommend
from lasar_kit.spec import load_spec

ROOT = Path(__file__).resolve().parents[1]
SPECS = sorted((ROOT / "tutorials").rglob("*.yaml"))
DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


def blocks(document: Path, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", document.read_text(), re.DOTALL | re.MULTILINE)


@pytest.mark.parametrize("path", SPECS, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_every_tutorial_is_a_valid_spec(path: Path) -> None:
    loaded = load_spec(path, (), Catalogue.discover())
    assert [stage.name for stage in loaded.plan]


@pytest.mark.parametrize(
    "path", [p for p in SPECS if p.parent.name == "ablations"], ids=lambda path: path.name
)
def test_an_ablation_is_a_few_lines_on_its_base(path: Path) -> None:
    lines = [line for line in path.read_text().splitlines() if not line.startswith("#")]
    assert 1 < len(lines) <= 5
    assert lines[0] == "extends: ../lasar.yaml"


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


@pytest.fixture(scope="module")
def quickstart(tmp_path_factory: pytest.TempPathFactory) -> Path:
    catalogue, output = Catalogue.discover(), tmp_path_factory.mktemp("runs") / "quickstart"
    loaded = load_spec(ROOT / "tutorials" / "quickstart.yaml", (), catalogue)
    runner.run_spec(loaded, catalogue, output, use_cache=True)
    return output


def test_the_quickstart_beats_popularity_three_times_and_item_knn(quickstart: Path) -> None:
    row = json.loads((quickstart / "metrics.json").read_text())["evaluate"]
    assert row["users"] == 2000
    assert row["hr@10"] >= 3 * row["baselines"]["popularity"]["hr@10"]
    assert row["hr@10"] > row["baselines"]["item_knn"]["hr@10"]


def test_the_readme_shows_what_the_quickstart_prints(quickstart: Path) -> None:
    """Baselines to the digit; the model to what another processor may change."""
    row = json.loads((quickstart / "metrics.json").read_text())["evaluate"]
    readme = (ROOT / "README.md").read_text()
    shown = {line.split()[0]: line.split()[1:] for line in readme.splitlines() if line.split()[6:]}
    names = ("hr@5", "hr@10", "hr@20", "ndcg@5", "ndcg@10", "ndcg@20")
    for baseline, values in row["baselines"].items():
        assert [float(cell) for cell in shown[baseline]] == pytest.approx(
            [values[n] for n in names], abs=6e-5
        )
    model = [float(cell) for cell in shown["evaluate"][:6]]
    assert model == pytest.approx([row[name] for name in names], abs=0.02)


def test_the_readme_recommends_what_the_shop_sells(
    quickstart: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Which three items come first may change with the processor; their ids and titles do not."""
    readme = (ROOT / "README.md").read_text()
    command = re.search(r"recommend runs/quickstart --history (\S+) -k 3", readme)
    assert command is not None
    recommend(quickstart, command[1].split(","), 3, Catalogue.discover())
    assert len(re.findall(r" item-\d+ ", capsys.readouterr().out)) == 3
    items = stored_dataset.load(quickstart / "stages" / "dataset").items
    titles = dict(zip(items["id"], items["title"], strict=True))
    shown = re.findall(r"^ +\d +(item-\d+) +(\S.*?) +-\d", readme, re.MULTILINE)
    assert len(shown) == 3
    assert all(titles[item] == title for item, title in shown)
