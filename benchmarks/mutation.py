"""Mutation testing of what holds the numbers: losses, loop, policies, decoders, rewards, metrics, their core.

    pip install -e ".[test]" mutmut
    python benchmarks/mutation.py [--scratch FOLDER] [GROUP …]

mutmut changes one thing at a time (a sign, a number, an argument) and runs the tests that come by it: a
mutant is killed if one fails. It works in a copy and goes on where it was broken off; what survived is tried
again. benchmarks/results/mutation.json then holds the counts of each file and its survivors, each with the
reason why it is none to kill: reasons are written there by hand, and the next run keeps them. Exit 1 while a
survivor has none. Groups of files and their tests stand in benchmarks/mutation.toml.
"""

from __future__ import annotations

import argparse
import ast
import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "benchmarks" / "results" / "mutation.json"
GROUPS: dict[str, dict[str, list[str]]] = tomllib.loads((ROOT / "benchmarks" / "mutation.toml").read_text())
PARTS = {"lasar_kit": "src/lasar_kit", "plugins/lasar_plugins": "src/lasar_plugins", "tests": "tests"}
SURVIVED = (0, 33)
"""Exit codes of a mutant that no test failed on, and of one that no test comes by."""
LAST = """

def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: "contracts" in item.nodeid)  # the quick ones first


settings.register_profile("plain", settings.get_profile("repeatable"), phases=["explicit", "generate"])
settings.load_profile("plain")  # without making examples smaller
"""
"""The end of tests/conftest.py in the copy."""


def plainer(source: str) -> str:
    """The same on a CPU, in a form that mutmut takes whole: it passes over functions with an @.

    They are decorated by an assignment. Devices and `strict=True` go: no number hangs on them here.
    """
    source = re.sub(r", (device=[\w.]+|strict=True)(?=[,)])", "", source)
    lines = source.splitlines()
    found = [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.FunctionDef)]
    for node in sorted(found, key=lambda node: -node.lineno):
        names = [ast.unparse(decorator) for decorator in node.decorator_list]
        if names and names[0] not in ("staticmethod", "classmethod"):
            assert node.end_lineno
            call = "".join(f"{name}(" for name in names) + node.name + ")" * len(names)
            lines.insert(node.end_lineno, f"{' ' * node.col_offset}{node.name} = {call}")
            del lines[node.decorator_list[0].lineno - 1 : node.lineno - 1]
    return "\n".join(lines) + "\n"


def copy(scratch: Path, group: dict[str, list[str]]) -> None:
    """The project as mutmut takes it, packages under src; a file keeps its time while it is the same."""
    mutated = [f"src/{name}.py" for name in group["files"]]
    put(scratch / "registry.toml", (ROOT / "registry.toml").read_text())
    for source, target in PARTS.items():
        for path in (ROOT / source).rglob("*"):
            if path.is_file() and "__pycache__" not in path.parts:
                name = f"{target}/{path.relative_to(ROOT / source).as_posix()}"
                text = path.read_text()
                put(scratch / name, plainer(text) if name in mutated else text)
    put(scratch / "tests/conftest.py", (ROOT / "tests/conftest.py").read_text() + LAST)
    tests = [f"tests/{name}.py" for name in [*group["tests"], "contracts/test_builtins"]]
    settings = {
        "source_paths": ["src"],
        "only_mutate": mutated,
        "also_copy": ["registry.toml"],
        "pytest_add_cli_args_test_selection": [
            *tests, "-k", " or ".join(["not test_builtins", *group["contracts"]])
        ],
        "pytest_add_cli_args": ["-p", "no:cacheprovider"],
        "timeout_multiplier": 5.0,
    }  # fmt: skip
    project = (ROOT / "pyproject.toml").read_text().replace('[".", "plugins"]', '["src"]')
    table = "".join(f"{key} = {json.dumps(value)}\n" for key, value in settings.items())
    put(scratch / "pyproject.toml", f"{project}\n[tool.mutmut]\n{table}")
    (scratch / "mutants" / "mutmut-stats.json").unlink(missing_ok=True)  # tests may have changed
    for meta in scratch.glob("mutants/**/*.meta"):
        kept = json.loads(meta.read_text())
        tried = kept["exit_code_by_key"].items()
        codes = {name: None if code in SURVIVED else code for name, code in tried}
        meta.write_text(json.dumps({**kept, "exit_code_by_key": codes}))


def put(path: Path, text: str) -> None:
    if not path.is_file() or path.read_text() != text:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def outcome(scratch: Path, name: str, show: list[str], reasons: dict[tuple[str, ...], str]) -> dict[str, Any]:
    """How many mutants of a file there were, how many were killed, and what survived."""
    meta = json.loads((scratch / "mutants" / "src" / f"{name}.py.meta").read_text())
    codes, survived = meta["exit_code_by_key"], []
    for mutant in [key for key, code in codes.items() if code in SURVIVED]:
        shown = subprocess.run([*show, mutant], cwd=scratch, capture_output=True, text=True, check=True)
        lines = [line for line in shown.stdout.splitlines() if re.match(r"[+-](?!\+\+ |-- )", line)]
        change = [f"{line[0]} {line[1:].strip()}" for line in lines]
        survived.append({"change": change, "reason": reasons.get(tuple(change), "")})
    return {"mutants": len(codes), "killed": len(codes) - len(survived), "survived": survived}


def table(files: dict[str, Any]) -> str:
    """The counts as markdown."""
    rows = [(name, file["mutants"], file["killed"], len(file["survived"])) for name, file in files.items()]
    rows.append(("all", *(sum(row[place] for row in rows) for place in (1, 2, 3))))
    lines = [f"| {name} | {mutants:,} | {killed:,} | {rest} |" for name, mutants, killed, rest in rows]
    return "\n".join(["| file | mutants | killed | survived |", "|---|---:|---:|---:|", *lines])


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("groups", nargs="*", metavar="GROUP", help=f"{', '.join(GROUPS)}; else all")
    parser.add_argument("--scratch", type=Path, default=ROOT / "runs" / "mutation")
    parser.add_argument("--table", action="store_true", help="only print the counts that are stored")
    arguments = parser.parse_args()
    if arguments.table:
        parser.exit(0, table(json.loads(RESULTS.read_text())) + "\n")
    mutmut = shutil.which("mutmut", path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    if mutmut is None:
        parser.exit(2, "pip install mutmut\n")
    for group in arguments.groups or GROUPS:
        scratch = arguments.scratch / group
        copy(scratch, GROUPS[group])
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
        subprocess.run([mutmut, "run", "--max-children", "1"], cwd=scratch, env=environment, check=True)
        files = json.loads(RESULTS.read_text()) if RESULTS.is_file() else {}
        for name in GROUPS[group]["files"]:
            old = files.get(name, {}).get("survived", [])
            reasons = {tuple(entry["change"]): entry["reason"] for entry in old}
            files[name] = outcome(scratch, name, [mutmut, "show"], reasons)
        RESULTS.write_text(json.dumps(dict(sorted(files.items())), indent=2, ensure_ascii=False) + "\n")
    stored = json.loads(RESULTS.read_text()).values()
    sys.exit(any(not entry["reason"] for file in stored for entry in file["survived"]))


if __name__ == "__main__":
    main()
