"""The page of a server in a real browser, as wide as a screen and as a telephone: used by keyboard alone."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import threading
from collections.abc import Iterator
from html import unescape
from pathlib import Path

import pytest
import uvicorn
from fastapi import Response

from lasar_kit.serve.http.app import FACTS, PAGE, Options, create_app
from lasar_kit.serve.http.service import Service
from lasar_kit.serve.recommend import LoadedRun

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
PROBE = """<!doctype html><meta charset="utf-8"><iframe id="frame" style="width: WIDTHpx; height: 1000px; border: 0"></iframe>
<script>
const frame = document.getElementById("frame"), seen = {};
const until = async (holds) => { while (!holds()) await new Promise((go) => setTimeout(go, 20)); };
frame.addEventListener("load", async () => {
  const page = frame.contentDocument, $ = (id) => page.getElementById(id), query = $("query");
  const press = (key) => query.dispatchEvent(new frame.contentWindow.KeyboardEvent("keydown", { key, bubbles: true, cancelable: true }));
  const type = (text) => { query.value = text; query.dispatchEvent(new frame.contentWindow.Event("input")); };
  await until(() => $("status").textContent);
  seen.before = $("status").textContent; seen.name = $("name").textContent;
  type("thing 1"); await until(() => $("found").children.length > 1);
  seen.found = [...$("found").children].map((one) => one.querySelector(".title").textContent);
  press("ArrowDown"); seen.active = query.getAttribute("aria-activedescendant"); press("Enter");
  await until(() => $("list").children.length);
  type("thing 4"); await until(() => $("found").children.length === 1); press("Enter");
  await until(() => $("status").textContent && $("history").children.length === 2 && performance.getEntriesByType);
  $("depth").value = "3"; $("depth").dispatchEvent(new frame.contentWindow.Event("change"));
  await until(() => $("status").textContent.includes("3 thoughts") && page.querySelectorAll("#steps > div").length === 4);
  seen.history = [...$("history").querySelectorAll(".title")].map((one) => one.textContent);
  seen.list = [...$("list").querySelectorAll("small:first-of-type")].map((one) => one.textContent);
  seen.steps = [...page.querySelectorAll("#steps > div")].map((one) => [...one.querySelectorAll(".card")].map((card) => card.dataset.item));
  seen.lines = page.querySelectorAll("#steps path").length;
  const card = page.querySelector("#steps .card"); card.click();
  seen.lit = [...page.querySelectorAll("#steps .lit")].every((one) => one.dataset.item === card.dataset.item);
  seen.hash = frame.contentWindow.location.hash;
  seen.width = frame.contentWindow.innerWidth; seen.scroll = page.documentElement.scrollWidth;
  seen.over = [...page.querySelectorAll("body *")].filter((one) => !one.closest("#path, script") &&
    one.getBoundingClientRect().right > seen.width + 1).map((one) => one.outerHTML.slice(0, 80));
  seen.small = [...page.querySelectorAll("button, select, input:not([type=checkbox])")].filter((one) => one.offsetParent &&
    !one.closest("#steps") && one.getBoundingClientRect().height < 40).map((one) => one.outerHTML.slice(0, 80));
  seen.nameless = [...page.querySelectorAll("button, select, input")].filter((one) =>
    !(one.textContent.trim() || one.getAttribute("aria-label") || one.labels?.length)).length;
  $("history").querySelector("button").click(); await until(() => $("history").children.length === 1);
  seen.focus = page.activeElement.getAttribute("aria-label");
  $("k").value = "5000"; $("k").dispatchEvent(new frame.contentWindow.Event("change"));
  await until(() => $("wrong").textContent); seen.wrong = $("wrong").textContent;
  seen.fetched = frame.contentWindow.performance.getEntriesByType("resource").map((one) => new URL(one.name)).filter(
    (one) => one.protocol !== "data:" && one.origin !== location.origin).map(String);
  const out = document.createElement("pre"); out.id = "probe"; out.textContent = JSON.stringify(seen); document.body.append(out);
});
frame.src = "/";
</script>"""  # noqa: E501


@pytest.fixture(scope="module")
def browser() -> str:
    """The command of one that is installed."""
    for name in BROWSERS:
        if shutil.which(name):
            return name
    pytest.skip(f"no browser is installed ({', '.join(BROWSERS)})")


@pytest.fixture(scope="module")
def port(model: LoadedRun) -> Iterator[int]:
    """A server with one page more, which uses the page."""
    app = create_app(Service(model, "<shop>"), Options(wait=0.0))
    app.get("/probe/{width}")(
        lambda width: Response(PROBE.replace("WIDTH", width), media_type="text/html; charset=utf-8")
    )
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_level="warning"))
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started:
        thread.join(0.05)
    yield server.servers[0].sockets[0].getsockname()[1]
    server.should_exit = True
    thread.join()


@pytest.mark.parametrize("width", [1400, 420])
def test_the_page_in_a_browser(browser: str, port: int, model: LoadedRun, tmp_path: Path, width: int) -> None:
    options = ["--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars"]
    done = subprocess.run(
        [
            browser, *options, f"--user-data-dir={tmp_path / 'profile'}", "--window-size=1500,1100",
            "--virtual-time-budget=60000", "--dump-dom", f"http://127.0.0.1:{port}/probe/{width}",
        ],
        capture_output=True, text=True, check=True, timeout=120,
    )  # fmt: skip
    probe = re.search(r'<pre id="probe">(.*?)</pre>', done.stdout, re.DOTALL)
    assert probe is not None, done.stdout[-2000:] + done.stderr
    seen = json.loads(unescape(probe[1]))
    assert (seen["name"], seen["before"]) == ("<shop>", "30 items in the catalogue.")
    assert seen["found"][:2] == ["Thing 1", "Thing 10"]
    assert (seen["active"], seen["history"]) == ("found-1", ["Thing 10", "Thing 4"])
    assert seen["hash"] == "#i=i10&i=i4"
    (expected,) = model.rank([["i10", "i4"]], 10, exclude_history=True)
    assert len(seen["list"]) == len(expected)
    assert not {"i10", "i4"} & set(seen["list"])
    assert [len(step) for step in seen["steps"]] == [5] * 4
    assert seen["steps"][3] == seen["list"][:5], "the last thought is the one that it answers after"
    kept = [len(set(a) & set(b)) for a, b in zip(seen["steps"], seen["steps"][1:], strict=False)]
    assert seen["lines"] == sum(kept)
    assert seen["lit"]
    assert (seen["width"], seen["scroll"]) == (width, width)
    assert (seen["over"], seen["small"], seen["nameless"]) == ([], [], 0)
    assert seen["focus"] == "Remove Thing 4"
    assert seen["wrong"] == "k: Input should be less than or equal to 1000"
    assert seen["fetched"] == []


def test_the_page_is_whole_in_itself() -> None:
    """Nothing in it leads to another machine, and what it is told of a run can end no script."""
    text = PAGE.read_text(encoding="utf-8")
    assert text.count(FACTS) == 1
    assert re.findall(r"https?://[^\"'\s)]+", text) == ["http://www.w3.org/2000/svg"] * 2
    assert not re.search(r"<link(?! rel=\"icon\" href=\"data:,\")|<script src|@import|url\(", text)
