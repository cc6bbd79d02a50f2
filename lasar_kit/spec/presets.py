"""Presets: the specs that come with the kit, to run, to extend and to copy.

They are the YAML files of the checkout's `tutorials`, which the wheel holds as `lasar_kit/presets`.
"""

from __future__ import annotations

import re
from pathlib import Path

from lasar_kit.errors import UserError, nearest

PREFIX = "preset:"
"""Begins the name of a preset where a spec's path is expected."""

LEFT_OUT = ("plugins", "paper")
"""Folders whose files are no specs of a run by themselves."""

_EXTENDS = re.compile(r"^extends: *(\S+)", re.MULTILINE)
_EDITOR = re.compile(r"^# yaml-language-server:.*\n", re.MULTILINE)


def folder() -> Path:
    """Where they lie: in the installed package, or in the checkout that is installed as it stands."""
    package = Path(__file__).parents[1]
    packed = package / "presets"
    return packed if packed.is_dir() else package.parent / "tutorials"


def presets() -> dict[str, Path]:
    """Every preset by its name, `folder/file` without the ending."""
    root = folder()
    files = sorted(root.rglob("*.yaml"))
    parts = {path: path.relative_to(root).with_suffix("").parts for path in files}
    return {"/".join(names): path for path, names in parts.items() if names[0] not in LEFT_OUT}


def preset(name: str) -> Path:
    """The file of a preset, by its name, or by the last part of it where no other ends so.

    `UserError` for one that is not there, or that could be several.
    """
    known = presets()
    if name in known:
        return known[name]
    ends = [full for full in known if full.rpartition("/")[2] == name]
    if len(ends) == 1:
        return known[ends[0]]
    if ends:
        raise UserError(f"{PREFIX}{name}: could be {' or '.join(ends)}; write it out")
    hint = nearest(name, {*known, *(full.rpartition("/")[2] for full in known)})
    if not hint.startswith("did"):
        hint = "see: lasar-kit presets list"
    raise UserError(f"{PREFIX}{name}: no such preset; {hint}")


def suite(name: str) -> Path:
    """The file of a suite among them, by its name (`paper/table3`); `UserError` where there is none."""
    root = folder()
    files = {path.relative_to(root).with_suffix("").as_posix(): path for path in root.glob("paper/*.yaml")}
    if name not in files:
        raise UserError(f"{PREFIX}{name}: no such suite; {nearest(name, files)}")
    return files[name]


def name_of(path: Path) -> str:
    """The name of a preset's file."""
    return path.relative_to(folder()).with_suffix("").as_posix()


def about(path: Path) -> str:
    """The first sentence of the comment that a preset begins with."""
    lines = _EDITOR.sub("", path.read_text(encoding="utf-8")).splitlines()
    comment: list[str] = []
    for line in lines:
        if not line.startswith("#"):
            break
        comment.append(line.removeprefix("#").strip())
    text = " ".join(comment)
    return re.split(r"(?<=[.?]) ", text, maxsplit=1)[0].rstrip(".")


def copied(path: Path) -> str:
    """The text of a preset, fit to stand anywhere: what it extends is named as a preset."""

    def by_name(found: re.Match[str]) -> str:
        return f"extends: {PREFIX}{name_of((path.parent / found[1]).resolve())}"

    return _EXTENDS.sub(by_name, _EDITOR.sub("", path.read_text(encoding="utf-8")))
