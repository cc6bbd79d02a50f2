"""Which modules a module runs, and which edits of a file count."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from lasar_kit.catalogue.digests import kit_packages
from lasar_kit.catalogue.imports import Sources, read

FILES = {
    "__init__": '"""P."""\n__all__ = ()\nfrom p.far import named\ndef own():\n    from p import late\n',
    "far": "from p import deeper\nnamed = 1",
    "deeper": "",
    "late": "",
    "inner/__init__": "",
    "inner/one": "from .two import x\nfrom . import three\nfrom ..far import named",
    "inner/two": "import p.late",
    "inner/three": "",
    "loud/__init__": "from p import far\nprint(far)",
    "loud/part": "",
}


def closure(folder: Path, source: str, **files: str) -> str:
    """The modules of `p` that a module `p.start` of this source runs, itself apart."""
    for name, text in {**FILES, **files, "start": source}.items():
        file = folder / "p" / f"{name}.py"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    found = Sources({"p": folder / "p"}).closure(["p.start"])
    return " ".join(module.removeprefix("p.") for module in found if module != "p.start")


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("", ""),
        ("import json, torch, missing.part", ""),
        ("import p.late", "late"),
        ("import p.late as x", "late"),
        ("from p.far import named", "deeper far"),
        ("from p.late import absent", "late"),
        ("from p import named", "deeper far"),  # passed on by the package, which does nothing itself
        ("from p import named as other", "deeper far"),
        ("from p import late", "late"),
        ("from p import own", "p deeper far late"),  # the package's own: all that it imports
        ("from p import absent", "p deeper far late"),
        ("from p import *", "p deeper far late"),
        ("import p", "p deeper far late"),
        ("from . import late", "late"),
        ("from .inner import one", "deeper far inner.one inner.three inner.two late"),
        ("from .inner.one import x", "deeper far inner.one inner.three inner.two late"),
        ("import p.loud.part", "deeper far loud loud.part"),  # a package that does something when imported
        ("def f():\n    if f:\n        import p.late", "late"),
        ("try:\n    import p.late\nexcept ImportError:\n    pass", "late"),
        ("class A:\n    from p import late", "late"),
        ("if TYPE_CHECKING:\n    import p.late\nelse:\n    import p.deeper", "deeper"),
        ("if typing.TYPE_CHECKING:\n    import p.late", ""),
        ("if not TYPE_CHECKING:\n    import p.late", "late"),
        ("'import p.late'", ""),
    ],
)
def test_what_a_module_runs(tmp_path: Path, source: str, expected: str) -> None:
    assert closure(tmp_path, source) == expected


@pytest.mark.parametrize(
    "line", ["X = f()", "f()", "@f\ndef g(): ...", "class A: ...", "from p.far import *"]
)
def test_a_package_that_does_more_than_name_things_counts_whole(tmp_path: Path, line: str) -> None:
    """By a name that it passes on, and by a module in it."""
    changed = FILES["__init__"] + line
    assert closure(tmp_path, "from p import named", __init__=changed) == "p deeper far late"
    assert closure(tmp_path, "from p import deeper", __init__=changed) == "p deeper far late"


def test_modules_that_import_each_other(tmp_path: Path) -> None:
    assert closure(tmp_path, "import p.late", late="import p.start\nfrom p import late") == "late"
    own = closure(tmp_path, "from p import deeper", __init__="from p import deeper")
    assert own == "deeper"
    ring = closure(tmp_path, "from p import x", __init__="from p.far import x", far="from p import x")
    assert ring == "far"


PLAIN = '"""Doc."""\nimport os\n\ndef f(x: int) -> int:\n    """Doc."""\n    return x + 1\n'


@pytest.mark.parametrize(
    ("before", "after", "same"),
    [
        ("", "# a comment\n", True),
        ('"""Doc."""', '"""Another,\nlonger."""', True),
        ("return", "# why\n    return", True),
        ("x + 1", "(x  +  1)", True),
        ("import os\n", "import os\nif TYPE_CHECKING:\n    import p\n", True),
        ("import os\n", 'import os\n"""Of the above."""\n', True),
        ("x + 1", "x + 2", False),
        ("x + 1", "1 + x", False),
        ("import os", "import re", False),
        ("return x", "return f.__doc__ and x", False),
        ("def f", "def g", False),
    ],
)
def test_what_of_an_edit_counts(before: str, after: str, same: bool) -> None:
    assert before in PLAIN
    edited = PLAIN.replace(before, after) if before else after + PLAIN
    assert (read(edited.encode()).digest == read(PLAIN.encode()).digest) is same


def test_docstrings_that_a_file_reads_count() -> None:
    reads = PLAIN + "print(__doc__)\n"
    assert read(reads.encode()).digest != read(reads.replace("Doc.", "Other.").encode()).digest
    assert read(reads.encode()).digest == read(("# a comment\n" + reads).encode()).digest


@pytest.mark.parametrize("content", [b"def", b"\0", b"\xff", "x = 'ä'".encode("latin-1")])
def test_what_is_no_python_counts_by_its_bytes(content: bytes) -> None:
    assert read(content).digest != read(content + b" ").digest
    assert read(content).imports == ()


def test_the_kit_imports_nothing_by_a_name_made_at_run_time() -> None:
    """Which no closure could see: neither in what stages run nor in components."""
    allowed = {
        "catalogue/catalogue.py",
        "catalogue/importer.py",
        "catalogue/one_file.py",
        "cli/main.py",
        "report/tracking.py",
    }
    found = set()
    for folder in kit_packages().values():
        for file in folder.rglob("*.py"):
            if any(word in file.read_text() for word in ("import_module(", "__import__(", "exec_module(")):
                found.add(file.relative_to(folder).as_posix())
    assert {name for name in found if not name.startswith("testing/")} == allowed


KINDS = ("stage", "quantizer")
SEEN = f"""
import os, sys
from lasar_kit.catalogue import Catalogue
from lasar_kit.catalogue.digests import Digests
catalogue, digests, modules = Catalogue.discover(), Digests(), {{}}
for kind in {KINDS}:
    targets = [target for entry in catalogue.entries(kind) for target in (entry.build, entry.config)]
    modules[kind] = {{target.partition(":")[0] for target in targets}}
    print(*digests.kit.closure(modules[kind]))
print("torch" in sys.modules)
import polars, sklearn.cluster, torch._dynamo, transformers.models.qwen3.modeling_qwen3, peft, accelerate
for kind in {KINDS}:
    sys.stdout.flush()
    if os.fork():
        assert os.wait()[1] == 0
        continue
    for module in modules[kind]:
        __import__(module)
    print(*(name for name in sys.modules if name.partition(".")[0] in ("lasar_kit", "lasar_plugins")))
    sys.exit()
"""


@pytest.fixture(scope="module")
def seen() -> dict[str, tuple[str, str]]:
    """Closure of the modules of each kind, and all that are loaded once these are; the kinds are imported
    apart, with the libraries loaded before."""
    path = ":".join(str(folder.parent) for folder in kit_packages().values())
    out = subprocess.run(
        [sys.executable, "-c", SEEN], capture_output=True, text=True, check=True, env={"PYTHONPATH": path}
    ).stdout
    *closed, torch, one, other = out.splitlines()
    assert torch == "False"
    return dict(zip(KINDS, zip(closed, (one, other), strict=True), strict=True))


@pytest.mark.parametrize("kind", KINDS)
def test_the_closure_is_what_python_imports(kind: str, seen: dict[str, tuple[str, str]]) -> None:
    """But for what a package above imports to pass it on, and the catalogue, which the script uses."""
    closed, imported = seen[kind]
    sources, found = Sources(kit_packages()), closed.split()
    above = {module[:place] for module in found for place, sign in enumerate(module) if sign == "."}
    seen_by_catalogue = {name for name in imported.split() if name.startswith("lasar_kit.catalogue")}
    assert set(imported.split()) - seen_by_catalogue <= set(sources.closure([*found, *above]))
