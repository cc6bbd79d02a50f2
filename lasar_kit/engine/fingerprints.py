"""What an artifact depends on: options, code and inputs, as one key."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel

import lasar_kit
from lasar_kit.engine.artifacts import key_of
from lasar_kit.spec import ComponentConfig

if TYPE_CHECKING:
    from lasar_kit.catalogue import Catalogue
    from lasar_kit.spec.plan import PlannedStage
    from lasar_kit.spec.run_spec import RunSpec


@cache
def core_code() -> str:
    """SHA-256 of what every stage runs on: the sources of `lasar_kit.core` and `lasar_kit.engine`."""
    root = Path(lasar_kit.__file__).parent
    digest = hashlib.sha256()
    for path in sorted([*root.glob("core/**/*.py"), *root.glob("engine/**/*.py"), root / "metrics.py"]):
        digest.update(path.relative_to(root).as_posix().encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()


def dataset_key(spec: RunSpec, files: Sequence[Path], catalogue: Catalogue) -> str:
    """Key of the data set: its options, its code, and name, size and time of change of what it reads."""
    stats = [(path.name, path.stat().st_size, path.stat().st_mtime_ns) for path in files]
    return key_of("dataset", core_code(), _described(spec.dataset, catalogue), spec.seed, stats)


def stage_key(stage: PlannedStage, spec: RunSpec, inputs: Mapping[str, str], catalogue: Catalogue) -> str:
    """Key of a stage: its options, what it reads of the spec, the code of all components in these, and the
    keys of its inputs by artifact type."""
    read = {name: getattr(spec, name) for name in type(stage.config).reads}
    described = {
        name: _described(value, catalogue) if isinstance(value, ComponentConfig) else value
        for name, value in read.items()
    }
    return key_of("stage", core_code(), _described(stage.config, catalogue), described, dict(inputs))


def _described(config: ComponentConfig, catalogue: Catalogue) -> dict[str, Any]:
    """A component's options, its code and that of nested ones, its files; not `from` (inputs have keys) nor
    what changes no result."""
    options = config.model_dump(mode="json")
    for name in ("from", *getattr(type(config), "unkeyed", ())):
        options.pop(name, None)
    code = [_code(part, catalogue) for part in _components(config)]
    return {"options": options, "code": code, "files": list(_files(options))}


def _files(options: object) -> Iterator[tuple[str, int, int]]:
    """Name, size and time of change of all that options name by an absolute path."""
    if isinstance(options, Mapping):
        for value in options.values():
            yield from _files(value)
    elif isinstance(options, list):
        for value in options:
            yield from _files(value)
    elif isinstance(options, str) and Path(options).is_absolute():
        path = Path(options)
        for file in sorted(path.iterdir()) if path.is_dir() else [path]:
            if file.is_file():
                stat = file.stat()
                yield file.name, stat.st_size, stat.st_mtime_ns


def _components(value: object) -> Iterator[ComponentConfig]:
    """All component configs in a value, itself first."""
    if isinstance(value, ComponentConfig):
        yield value
    if isinstance(value, BaseModel):
        for name in type(value).model_fields:
            yield from _components(getattr(value, name))
    elif isinstance(value, Mapping):
        for part in value.values():
            yield from _components(part)
    elif isinstance(value, list | tuple):
        for part in value:
            yield from _components(part)


def _code(config: ComponentConfig, catalogue: Catalogue) -> str:
    """The fingerprint of the component that a config belongs to."""
    target = f"{type(config).__module__}:{type(config).__qualname__}"
    for entry in catalogue.entries():
        if entry.name == config.use and entry.config == target:
            return catalogue.fingerprint(entry.kind, entry.name)
    return target
