"""The page in a real browser, as wide as a screen and as a telephone; figures in which nothing overlaps."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from html import escape, unescape
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest

from lasar_kit.report.figures import canvas
from lasar_kit.report.figures.canvas import Drawn
from lasar_kit.report.html.material import Material
from lasar_kit.report.html.sections import sections

pytest.importorskip("matplotlib", reason="figures need matplotlib (lasar-kit[figures])")

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
WIDTHS = (1400, 420)
PROBE = """<script>addEventListener("load", () => {
  const wide = [...document.querySelectorAll("body *")].filter(
    (part) => !part.closest(".wide, pre, details") && part.getBoundingClientRect().right > innerWidth + 1);
  const pictures = [...document.images];
  const out = document.createElement("pre");
  out.id = "probe";
  out.textContent = JSON.stringify({
    width: innerWidth, scroll: document.documentElement.scrollWidth, wide: wide.map((part) => part.outerHTML.slice(0, 80)),
    pictures: pictures.length, blank: pictures.filter((one) => !one.naturalWidth || one.clientWidth < 200).length,
    fetched: performance.getEntriesByType("resource").map((one) => one.name).filter((name) => !name.startsWith("data:")),
    dead: [...document.querySelectorAll('a[href^="#"]')].filter(
      (link) => !document.getElementById(decodeURIComponent(link.hash.slice(1)))).length});
  parent.document.body.append(out);
});</script>"""  # noqa: E501


@pytest.fixture(scope="module")
def browser() -> str:
    """The command of one that is installed."""
    for name in BROWSERS:
        if shutil.which(name):
            return name
    pytest.skip(f"no browser is installed ({', '.join(BROWSERS)})")


@pytest.fixture(scope="module")
def seen(browser: str, page_file: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[int, Any]:
    """What a browser sees of the page, by its width: each in a frame, as no window is as narrow as a
    telephone."""
    folder, text = tmp_path_factory.mktemp("browser"), page_file.read_text(encoding="utf-8")
    inner = escape(text.replace("</body>", f"{PROBE}</body>"))
    frames = [
        f'<iframe style="width: {width}px; height: 900px; border: 0" srcdoc="{inner}"></iframe>'
        for width in WIDTHS
    ]
    probed = folder / "probed.html"
    probed.write_text(f"<!doctype html><meta charset=utf-8>{''.join(frames)}", encoding="utf-8")
    options = ["--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars"]
    profile = f"--user-data-dir={folder / 'profile'}"
    done = subprocess.run(
        [browser, *options, profile, "--window-size=1500,1000", "--dump-dom", probed.as_uri()],
        capture_output=True, text=True, check=True, timeout=120,
    )  # fmt: skip
    probes = re.findall(r'<pre id="probe">(.*?)</pre>', done.stdout, re.DOTALL)
    assert len(probes) == len(WIDTHS), done.stderr
    return {found["width"]: found for found in map(json.loads, map(unescape, probes))}


@pytest.mark.parametrize("width", WIDTHS)
def test_the_page_in_a_browser(seen: dict[int, Any], page_file: Path, width: int) -> None:
    """Every picture is drawn, nothing is fetched, nothing hangs over the edge."""
    expected = {"width": width, "scroll": width, "wide": [], "blank": 0, "fetched": [], "dead": 0}
    assert seen[width] == expected | {"pictures": page_file.read_text(encoding="utf-8").count("<img ")}


@pytest.fixture(scope="module")
def drawn(shop: Path) -> list[Drawn]:
    return [figure for section in sections(Material.read(shop)) for figure in section.figures]


def test_figures_have_labels_and_nothing_overlaps(drawn: list[Drawn]) -> None:
    """As they are laid out: ticks stand clear of each other, the legend clear of the plot, all within."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    names = [one.name for one in drawn]
    assert len(names) == len(set(names))
    for one in drawn:
        with canvas.style():
            surface = FigureCanvasAgg(one.figure)
            surface.draw()
            [axes] = one.figure.axes
            assert axes.get_xlabel(), one.name
            assert axes.get_ylabel() or axes.get_yticklabels()[0].get_text(), one.name
            whole = one.figure.bbox.padded(1)
            for labels in (axes.get_xticklabels(), axes.get_yticklabels()):
                boxes = [
                    label.get_window_extent() for label in labels if label.get_text() and label.get_visible()
                ]
                boxes = [box for box in boxes if box.height and whole.x0 <= box.x0 and box.x1 <= whole.x1]
                assert not any(a.overlaps(b) for a, b in combinations(boxes, 2)), one.name
            for legend in one.figure.legends:
                box = legend.get_window_extent()
                assert not box.overlaps(axes.bbox), one.name
                assert whole.x0 <= box.x0 <= box.x1 <= whole.x1, one.name
                assert whole.y0 <= box.y0 <= box.y1 <= whole.y1, one.name


def test_no_two_lines_differ_by_colour_alone() -> None:
    looks = [canvas.ink(place) for place in range(7)]
    for a, b in combinations(looks, 2):
        assert (a["linestyle"], a["marker"]) != (b["linestyle"], b["marker"])
    bars = [canvas.fill(place) for place in range(7)]
    assert len({bar["hatch"] for bar in bars}) == len(bars)
