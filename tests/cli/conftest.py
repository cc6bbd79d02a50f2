"""Plugins written into a folder, and the command line run in this process."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from lasar_kit.cli.main import main

REGISTRY = """\
[quantizer.{name}]
summary = "A quantizer for tests."
config = "{package}.config:Config"
build = "{package}.build:Component"
"""
CONFIG = """\
from pydantic import Field
from lasar_kit.spec import QuantizerConfig

class Config(QuantizerConfig):
    levels: int = Field(2, ge=1, description="How many levels.")
"""
BUILD = """\
class Component:
    sizes = ()
    fit = encode = decode = state_dict = load_state_dict = None

    def __init__(self, config, env):
        self.config, self.env = config, env
"""


@dataclass
class Result:
    code: int
    out: str
    err: list[str]


@pytest.fixture
def write_plugin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Path]:
    """Write a plugin folder; texts replace its files. What it does to `sys.path` is undone."""
    monkeypatch.setattr("sys.path", list(__import__("sys").path))

    def write(package: str, name: str = "mine", registry: str = REGISTRY, **files: str) -> Path:
        folder = tmp_path / f"{package}_folder"
        (folder / package).mkdir(parents=True)
        (folder / "registry.toml").write_text(registry.format(package=package, name=name))
        for file, text in ({"__init__": "", "config": CONFIG, "build": BUILD} | files).items():
            (folder / package / f"{file}.py").write_text(text)
        return folder

    return write


@pytest.fixture
def call(capsys: pytest.CaptureFixture[str]) -> Callable[..., Result]:
    """Run a command line; its exit code and what it printed."""

    def run(*arguments: str | Path) -> Result:
        with pytest.raises(SystemExit) as caught:
            main([str(argument) for argument in arguments])
        assert isinstance(caught.value.code, int)
        out, err = capsys.readouterr()
        return Result(caught.value.code, out, err.splitlines())

    return run
