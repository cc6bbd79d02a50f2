"""The page of a run: whole by itself, true to the run's files, and refused in one line where it cannot be."""

from __future__ import annotations

import base64
import csv
import json
import shutil
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote
from xml.etree import ElementTree

import polars as pl
import pytest

from lasar_kit.errors import UserError
from lasar_kit.report.answers import Answers
from lasar_kit.report.figures.canvas import Drawn
from lasar_kit.report.html import write_page
from lasar_kit.report.html.material import Material

pytest.importorskip("matplotlib", reason="figures need matplotlib (lasar-kit[figures])")

MEGABYTES = 5


class Page(HTMLParser):
    """Addresses, places that can be gone to, and the text of a page."""

    def __init__(self, file: Path) -> None:
        super().__init__()
        self.file, self.ids, self.links, self.images = file, list[str](), list[str](), list[str]()
        self.tags, self.words = set[str](), list[str]()
        self.feed(file.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        for name, value in attributes:
            kept = {"id": self.ids, "href": self.links, "src": self.images}.get(name)
            if kept is not None and value is not None:
                kept.append(value)

    def handle_data(self, data: str) -> None:
        self.words.append(data.strip())


@pytest.fixture(scope="session")
def page(page_file: Path) -> Page:
    return Page(page_file)


def test_it_is_whole_by_itself(page: Page) -> None:
    """Nothing is fetched, every figure is a picture within, every link leads somewhere."""
    assert page.file.stat().st_size < MEGABYTES * 2**20
    assert page.tags.isdisjoint({"script", "link", "iframe", "object", "embed"})
    assert len(page.ids) == len(set(page.ids))
    assert len(page.images) > 25
    for image in page.images:
        kind, _, text = image.partition(";base64,")
        assert kind == "data:image/svg+xml"
        svg = ElementTree.fromstring(base64.b64decode(text))
        assert svg.tag.endswith("svg")
        assert b"http" not in base64.b64decode(text).replace(b"http://www.w3.org", b"").replace(
            b"http://purl.org", b""
        ).replace(b"http://creativecommons.org", b"").replace(b"https://matplotlib.org", b"")
    for link in page.links:
        if link.startswith("#"):
            assert unquote(link[1:]) in page.ids
        else:
            assert (page.file.parent / unquote(link)).is_file()
    files = [link for link in page.links if not link.startswith("#")]
    assert len(files) == 3 * len(page.images)
    assert len(set(files)) == len(files)


def test_text_of_a_run_is_text(page: Page) -> None:
    """A label is no HTML, no mathematics of matplotlib's."""
    assert "<b>$x_y$</b> & [red]" in page.words
    drawn = (page.file.with_name("out_figures") / "shop" / "results-1.svg").read_text(encoding="utf-8")
    assert "&lt;b&gt;$x_y$&lt;/b&gt; &amp; [red]" in drawn


def figures(page: Page) -> Iterator[Path]:
    yield from sorted((page.file.with_name("out_figures") / "shop").glob("*.csv"))


def read(page: Page, name: str) -> list[dict[str, str]]:
    [file] = [path for path in figures(page) if path.stem == name]
    return list(csv.DictReader(file.read_text(encoding="utf-8").splitlines()))


def test_curves_are_the_log(page: Page, shop: Path) -> None:
    lines = [json.loads(line) for line in (shop / "log.jsonl").read_text().splitlines()]
    for stage, key, name in (
        ("rl", "reward", "rl-reward"),
        ("rl", "kl", "rl-kl"),
        ("rl", "zero_variance", "rl-groups"),
        ("rl", "depth_entropy", "rl-entropy"),
        ("rl", "ratio", "rl-ratio"),
        ("rl", "loss_grpo", "rl-loss-grpo"),
        ("rl", "validation_depth", "rl-mean-n"),
        ("reason", "loss_align", "reason-loss-align"),
        ("ground", "validation_ndcg@10", "ground-validation"),
    ):
        logged = [(line["step"], line[key]) for line in lines if line["stage"] == stage and key in line]
        assert logged
        rows = [(int(row["update"]), float(row[key])) for row in read(page, name) if row[key]]
        assert rows == logged


def test_every_logged_number_is_in_a_figure(page: Page, shop: Path) -> None:
    logged = {key for line in (shop / "log.jsonl").read_text().splitlines() for key in json.loads(line)}
    shown = {key for file in figures(page) for key in next(csv.reader(file.read_text().splitlines()))}
    assert logged - shown == {"step", "epoch", "items", *(f"depth_{n}" for n in range(1, 5))}


def test_results_are_the_metrics_and_lie_in_their_intervals(page: Page, shop: Path) -> None:
    metrics = json.loads((shop / "metrics.json").read_text())
    for number, protocol in ((1, "history_in"), (2, "history_out")):
        rows = {row["model"]: row for row in read(page, f"results-{number}")}
        told = metrics["evaluate"][protocol]
        for name, values in (("evaluate", told), *told["baselines"].items()):
            for metric in ("hr@5", "hr@10", "hr@20", "ndcg@5", "ndcg@10", "ndcg@20"):
                value = rows[name][metric.upper()]
                assert float(value) == values[metric]
                low, high = (rows[name][f"{metric.upper()} {end}"] for end in ("low", "high"))
                assert (not low and not high) or float(low) <= values[metric] <= float(high)
        assert rows["evaluate"]["HR@20 low"]
        assert rows["popularity"]["NDCG@10 low"], "its places were kept too"


def test_places_beside_the_model_give_its_baselines(shop: Path) -> None:
    """What is written user by user has the means that were reported."""
    table = pl.read_parquet(shop / "stages" / "evaluate" / "beside.parquet")
    lines = [json.loads(line) for line in (shop / "predictions.jsonl").read_text().splitlines()]
    assert table["user"].to_list() == [line["user"] for line in lines]
    metrics = json.loads((shop / "metrics.json").read_text())["evaluate"]
    answers = Answers.read(shop, "evaluate", metrics, {})
    for protocol in ("history_in", "history_out"):
        for name, row in metrics[protocol]["baselines"].items():
            for metric in ("hr@10", "ndcg@20"):
                assert answers.values[protocol][name][metric].mean() == pytest.approx(row[metric], abs=1e-12)


def test_what_was_run_and_at_what_cost(page: Page, shop: Path) -> None:
    run = Material.read(shop)
    for name, artifact in run.artifacts.items():
        assert artifact.made["packages"]["torch"], name
        assert 50 < artifact.made["memory"] < 100_000
        assert artifact.made["processes"] == 1
    memory = {row["stage"]: float(row["MiB"]) for row in read(page, "memory")}
    assert memory == {name: artifact.made["memory"] for name, artifact in run.artifacts.items()}
    assert (shop / "spec.lock.yaml").read_text(encoding="utf-8").strip() in page.words


def test_depths_are_those_of_the_users(page: Page, shop: Path) -> None:
    depth = [json.loads(line)["depth"] for line in (shop / "predictions.jsonl").read_text().splitlines()]
    shares = {int(row["thoughts"]): float(row["evaluate"]) for row in read(page, "depths")}
    assert shares == {n: depth.count(n) / len(depth) for n in shares}
    assert sum(shares.values()) == pytest.approx(1)
    drawn = read(page, "rl-depths")
    lines = [json.loads(line) for line in (shop / "stages/rl/log.jsonl").read_text().splitlines()]
    first, last = ([line for line in lines if "reward" in line][place] for place in (0, -1))
    assert [float(row["first update"]) for row in drawn] == [first[f"depth_{n}"] for n in range(1, 5)]
    assert [float(row["last update"]) for row in drawn] == [last.get(f"depth_{n}", 0) for n in range(1, 5)]


@pytest.fixture
def old(shop: Path, tmp_path: Path) -> Path:
    """The run as an older version left it: no places beside, no versions, one protocol."""
    folder = tmp_path / "old"
    shutil.copytree(shop, folder)
    for path in folder.glob("stages/*/beside.parquet"):
        path.unlink()
    for path in folder.glob("stages/*/artifact.json"):
        manifest = json.loads(path.read_text())
        manifest["files"].pop("beside.parquet", None)
        path.write_text(json.dumps({key: value for key, value in manifest.items() if key != "made"}))
    return folder


@pytest.fixture
def unsaved(monkeypatch: pytest.MonkeyPatch) -> None:
    """Figures are composed but not saved, which takes the most of a page's time."""

    def save(drawn: Drawn, folder: Path) -> str:
        (folder / f"{drawn.name}.svg").write_text("<svg/>")
        return "<svg/>"

    monkeypatch.setattr(Drawn, "save", save)


@pytest.mark.usefixtures("unsaved")
def test_runs_from_before_and_two_at_once(old: Path, shop: Path, tmp_path: Path) -> None:
    """Their pages lack what they did not keep."""
    file = tmp_path / "both.html"
    write_page([shop, old], file)
    both = Page(file)
    assert file.stat().st_size < MEGABYTES * 2**20
    assert {"run-shop", "run-old"} <= set(both.ids)
    assert "Runs beside each other" in both.words
    assert "change" in both.words
    assert (tmp_path / "both_figures" / "shop" / "memory.svg").is_file()
    assert not (tmp_path / "both_figures" / "old" / "memory.svg").exists()


@pytest.mark.usefixtures("unsaved")
def test_a_known_data_set_is_shown_beside_what_was_published(old: Path, tmp_path: Path) -> None:
    facts = old / "stages" / "dataset" / "dataset.json"
    facts.write_text(json.dumps(json.loads(facts.read_text()) | {"users": 35598, "items": 18357}))
    manifest = old / "stages" / "dataset" / "artifact.json"
    told = json.loads(manifest.read_text())
    told["files"].pop("dataset.json")
    manifest.write_text(json.dumps(told))
    write_page([old], tmp_path / "out.html")
    words = Page(tmp_path / "out.html").words
    assert any("Published on Amazon Sports" in word and "is not told" in word for word in words)
    assert "0.0280" in words


def test_without_matplotlib_one_line_says_what_to_do(
    shop: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lasar_kit.report.figures.canvas.find_spec", lambda name: None)
    with pytest.raises(UserError, match=r"pip install 'lasar-kit\[figures\]'") as caught:
        write_page([shop], tmp_path / "out.html")
    assert len(caught.value.lines) == 1
    assert list(tmp_path.iterdir()) == []


def test_what_is_no_run_leaves_nothing(shop: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="is not the folder of a finished run"):
        write_page([shop, tmp_path / "none"], tmp_path / "out.html")
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "taken").mkdir()
    with pytest.raises(UserError, match=r"--html .*taken: is a folder"):
        write_page([shop], tmp_path / "taken")
    with pytest.raises(UserError, match=r"--html .*: there is no folder .*none"):
        write_page([shop], tmp_path / "none" / "out.html")


def test_a_damaged_run_is_told_in_one_line(old: Path, tmp_path: Path) -> None:
    (old / "stages" / "evaluate" / "predictions.jsonl").write_text('{"user": 1}\n')
    with pytest.raises(UserError, match="missing or damaged") as caught:
        write_page([old], tmp_path / "out.html")
    assert len(caught.value.lines) == 1
    assert not (tmp_path / "out.html").exists()
