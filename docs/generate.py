"""Writes docs/reference from the code: interfaces, the values they pass, hooks, and the version of all these;
and the JSON Schema of specs, which the tutorials name for editors.

    python docs/generate.py            write the pages
    python docs/generate.py --check    tell which are stale, and exit 1 if any is

The pages remember what the API looked like at its version. Where it looks different, its version has to be
raised in `lasar_kit/catalogue/api_version.py` first; `--same-version` is for one that nobody has been given
yet.
"""

from __future__ import annotations

import argparse
import ast
import hashlib
import inspect
import json
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PAGES = ROOT / "docs" / "reference"
SCHEMA = ROOT / "tutorials" / "lasar.schema.json"

sys.path[:0] = [str(ROOT), str(ROOT / "plugins")]

from lasar_kit.catalogue import Catalogue  # noqa: E402
from lasar_kit.catalogue import api_version as api  # noqa: E402
from lasar_kit.catalogue.registry import read_registry  # noqa: E402
from lasar_kit.spec.schema import json_schema  # noqa: E402

Documented = ast.ClassDef | ast.FunctionDef


@dataclass(frozen=True)
class Page:
    """A page: its title, the modules it is made from, and the names it takes of each (all where none is)."""

    title: str
    sources: tuple[tuple[str, tuple[str, ...]], ...]


CONTENTS = {
    "interfaces.md": Page(
        "Interfaces",
        (
            ("lasar_kit/core/interfaces.py", ()),
            ("lasar_kit/core/sft_view.py", ()),
            ("lasar_kit/data/stage_context.py", ()),
        ),
    ),
    "capabilities.md": Page(
        "Capabilities",
        (
            ("lasar_kit/core/capabilities.py", ()),
            ("lasar_kit/spec/stage.py", ()),
            ("lasar_kit/spec/bases.py", ()),
        ),
    ),
    "values.md": Page(
        "Values",
        (
            ("lasar_kit/core/values.py", ()),
            ("lasar_kit/core/lesson.py", ()),
            ("lasar_kit/core/dataset.py", ()),
            ("lasar_kit/core/reasoning/request.py", ()),
            ("lasar_kit/catalogue/registry.py", ("Entry",)),
        ),
    ),
    "training.md": Page(
        "Training stages",
        (
            ("lasar_kit/training.py", ()),
            ("lasar_kit/train/config.py", ("OptimizerConfig", "TrainingConfig")),
            ("lasar_kit/train/start.py", ()),
            ("lasar_kit/train/loop.py", ("Training",)),
            ("lasar_kit/train/updater.py", ("Sums", "Term", "Update", "Updater", "training_processes")),
            ("lasar_kit/train/alignment.py", ("build_aligner", "objective_env")),
            ("lasar_kit/model/recommender.py", ("Recommender",)),
            ("lasar_kit/model/prompts.py", ("PromptBuilder",)),
            ("lasar_kit/model/answers.py", ("AnswerScorer",)),
            ("lasar_kit/data/sids.py", ("Sids",)),
            ("lasar_kit/data/held_out.py", ("HeldOut",)),
            ("lasar_kit/data/anchor_store.py", ("AnchorStore",)),
        ),
    ),
    "hooks.md": Page(
        "Hooks", (("lasar_kit/hookspecs.py", ()), ("lasar_kit/store/artifacts.py", ("Artifact",)))
    ),
}


def public(module: ast.Module, only: tuple[str, ...] = ()) -> Iterator[Documented]:
    """The public classes and functions of a module, in order."""
    for node in module.body:
        wanted = isinstance(node, Documented) and (node.name in only if only else node.name[0] != "_")
        if isinstance(node, Documented) and wanted:
            yield node


def fields(owner: ast.ClassDef) -> Iterator[tuple[str, str | None]]:
    """The attributes a class declares, as `name: type`, each with the text that stands below it."""
    for node, after in zip(owner.body, [*owner.body[1:], ast.Pass()], strict=True):
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name) and node.target.id[0] != "_":
            told = isinstance(after, ast.Expr) and isinstance(after.value, ast.Constant)
            default = "" if node.value is None else f" = {ast.unparse(node.value)}"
            text = str(after.value.value) if told else None  # type: ignore[attr-defined]
            yield f"{node.target.id}: {ast.unparse(node.annotation)}{default}", text


def methods(owner: ast.ClassDef) -> Iterator[ast.FunctionDef]:
    """The public methods and properties of a class."""
    return (node for node in owner.body if isinstance(node, ast.FunctionDef) and node.name[0] != "_")


def signature(function: ast.FunctionDef) -> str:
    """`name(arguments) -> result`, without `self`; a property reads `name: result`."""
    result = ast.unparse(function.returns) if function.returns else "None"
    decorators = [ast.unparse(decorator) for decorator in function.decorator_list]
    if any(name.endswith("property") for name in decorators):
        return f"{function.name}: {result}"
    arguments = re.sub(r"^(self|cls)(, )?", "", ast.unparse(function.args))
    return f"{function.name}({arguments}) -> {result}"


def undocumented(module: ast.Module, only: tuple[str, ...] = ()) -> Iterator[str]:
    """List what of a module's public part has no words: classes, functions, methods, attributes of protocols.

    The fields of a dataclass are told in its own text.
    """
    for node in public(module, only):
        if not ast.get_docstring(node):
            yield node.name
        if isinstance(node, ast.ClassDef):
            yield from (f"{node.name}.{own.name}" for own in methods(node) if not ast.get_docstring(own))
            if any(ast.unparse(base) == "Protocol" for base in node.bases):
                yield from (f"{node.name}.{field}" for field, text in fields(node) if not text)


def surface(module: ast.Module, only: tuple[str, ...] = ()) -> Iterator[str]:
    """A line for each name of a module's public part, with its types."""
    for node in public(module, only):
        if isinstance(node, ast.FunctionDef):
            yield signature(node)
            continue
        yield node.name
        yield from (f"{node.name}.{field}" for field, _ in fields(node))
        yield from (f"{node.name}.{signature(own)}" for own in methods(node))


def _text(docstring: str | None) -> str:
    """A docstring as markdown: lines that each tell of one name become a list."""
    lines = inspect.cleandoc(docstring or "").splitlines()
    return "\n".join(f"- {line}" if re.match(r"`[^`]+`: ", line) else line for line in lines)


def _section(node: Documented) -> Iterator[str]:
    yield f"## {node.name}"
    if isinstance(node, ast.FunctionDef):
        yield f"```python\n{signature(node)}\n```"
        yield _text(ast.get_docstring(node))
        return
    yield _text(ast.get_docstring(node))
    told = [(field, "  # " + " ".join(text.split()) if text else "") for field, text in fields(node)]
    if told:
        yield "```python\n" + "\n".join(field + text for field, text in told) + "\n```"
    for method in methods(node):
        yield f"### {node.name}.{method.name}\n\n```python\n{signature(method)}\n```"
        yield _text(ast.get_docstring(method))


def modules(page: Page) -> list[tuple[str, ast.Module, tuple[str, ...]]]:
    """The parsed sources of a page, with the names it takes of each."""
    return [(path, ast.parse((ROOT / path).read_text(encoding="utf-8")), only) for path, only in page.sources]


def render(page: Page) -> str:
    """A page as markdown."""
    parts = [f"# {page.title}", f"API {api.API}. Generated by `python docs/generate.py`."]
    for path, module, only in modules(page):
        parts.append(f"From `{path}`.")
        parts.append("" if only else _text(ast.get_docstring(module)))
        for node in public(module, only):
            parts += _section(node)
    return "\n\n".join(part for part in parts if part) + "\n"


def digest() -> str:
    """Return a few letters that change with the API."""
    lines = [
        line
        for page in CONTENTS.values()
        for _, module, only in modules(page)
        for line in surface(module, only)
    ]
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()[:16]


def front() -> str:
    """The front page: the pages, the version, and what each version changed."""
    rows = [f"| {version} | {text} |" for version, text in api.CHANGES.items()]
    links = [f"- [{page.title}]({name})" for name, page in CONTENTS.items()]
    parts = [
        "# Reference",
        f"What a plugin is written against: API {api.API}, `{digest()}`.",
        "Generated by `python docs/generate.py`.",
        "\n".join(links),
        "A plugin names the versions it was written for in its `registry.toml`. Where the kit's is none of\n"
        "them the plugin is refused, with what has changed since.",
        '```toml\n[lasar]\napi = ">=2,<3"\n```',
        "\n".join(["| version | changed |", "|---|---|", *rows]),
    ]
    return "\n\n".join(parts) + "\n"


def schema() -> str:
    """The JSON Schema of specs made of built-in components."""
    builtin = Catalogue({"lasar-kit:builtin": read_registry(ROOT / "registry.toml", "lasar-kit:builtin")})
    found, problems = json_schema(builtin)
    assert not problems, problems
    return json.dumps(found, indent=1, ensure_ascii=False) + "\n"


def pages() -> dict[Path, str]:
    """All files and what they should hold."""
    texts = {PAGES / name: render(page) for name, page in CONTENTS.items()}
    return {PAGES / "README.md": front(), SCHEMA: schema()} | texts


def unraised(old_front: str) -> bool:
    """Whether the API looks different from what its front page says of the same version."""
    found = re.search(r"API (\S+), `(\w+)`", old_front)
    return found is not None and found[1] == api.API and found[2] != digest()


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--check", action="store_true", help="tell which pages are stale")
    parser.add_argument(
        "--same-version", action="store_true", help="the version has not been given to anybody"
    )
    given = parser.parse_args()
    stale = [p for p, text in pages().items() if not p.is_file() or p.read_text(encoding="utf-8") != text]
    if given.check:
        for path in stale:
            print(f"{path}: stale; run python docs/generate.py")
        return int(bool(stale))
    index = PAGES / "README.md"
    if not given.same_version and index.is_file() and unraised(index.read_text(encoding="utf-8")):
        print(
            f"the API is not what it was at {api.API}: raise API in "
            "lasar_kit/catalogue/api_version.py and tell CHANGES why"
        )
        return 1
    for path, text in pages().items():
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
