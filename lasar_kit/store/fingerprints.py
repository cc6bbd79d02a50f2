"""An artifact's key: options, code and inputs that it depends on."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from importlib.metadata import packages_distributions, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel

from lasar_kit.core.model_name import PACKAGE
from lasar_kit.hookspecs import SHAPING
from lasar_kit.spec import ComponentConfig
from lasar_kit.spec.components import components
from lasar_kit.spec.files import read_paths
from lasar_kit.store.artifacts import key_of, sha256

if TYPE_CHECKING:
    from lasar_kit.catalogue import Catalogue
    from lasar_kit.spec.plan import PlannedStage
    from lasar_kit.spec.run_spec import RunSpec


DATASET_CODE = "lasar_kit.data.stored_dataset"
"""The code that keeps a data set, whatever its source."""

COLD_CODE = "lasar_kit.data.cold"
"""The code that holds items out of a data set, where any are."""

STAGE_CODE = "lasar_kit.data.stage_context"
"""The context that every stage is handed, those of plugins too. The room `run`, which hands it over, changes
a stage's artifact by nothing but what is in the key: options, inputs and hooks."""


TRAVELLING = ("backbone", "prompt", "latent_loop", "depth_policy")
"""Options that travel with a checkpoint: what they name is read by later stages, from the same place."""

Digest = Callable[[Path], str]
"""Tells files by what they hold: `Contents.of`."""


def dataset_key(spec: RunSpec, files: Sequence[Path], catalogue: Catalogue, digest: Digest = sha256) -> str:
    """Key of the data set: its options, its code, and names and contents of what it reads."""
    contents = [(path.name, digest(path)) for path in files]
    code = (catalogue.digests.of([DATASET_CODE]), _hooks("lasar_run_stage", spec, catalogue, digest))
    held = () if spec.holds_out is None else (catalogue.digests.of([COLD_CODE]), spec.holds_out)
    described = _described(spec.dataset, catalogue, digest)
    return key_of("dataset", *code, described, spec.seed, contents, *held)


def stage_key(
    stage: PlannedStage,
    spec: RunSpec,
    inputs: Mapping[str, str],
    catalogue: Catalogue,
    digest: Digest = sha256,
) -> str:
    """Key of a stage: its options, what it reads of the spec, the code of all components in these, the hooks
    that may change what a stage does or end it, and the keys of its inputs by artifact type."""
    unread, may = type(stage.config).unread, SHAPING if type(stage.config).stoppable else SHAPING[:1]
    code = (catalogue.digests.of([STAGE_CODE]), *(_hooks(hook, spec, catalogue, digest) for hook in may))
    described = {}
    for name in type(stage.config).reads:
        value = getattr(spec, name)
        if isinstance(value, ComponentConfig):
            value = _described(value, catalogue, digest, unread.get(name, ()), name)
        described[name] = value
    return key_of("stage", *code, _described(stage.config, catalogue, digest), described, dict(inputs))


def _hooks(hook: str, spec: RunSpec, catalogue: Catalogue, digest: Digest) -> list[Any]:
    """The implementations of a hook: those of modules by their code, those of the spec with their options."""
    listed = [config for config in spec.hooks if hook in catalogue.hooks_of(config)]
    return [*catalogue.hook_code(hook), *(_described(config, catalogue, digest) for config in listed)]


def _described(
    config: ComponentConfig,
    catalogue: Catalogue,
    digest: Digest,
    unread: Sequence[str] = (),
    called: str | None = None,
) -> dict[str, Any]:
    """A component's options, its code and that of nested ones, its files; not `from` (inputs have keys) nor
    what changes no result, or is `unread`. In a spec it may be `called` something."""
    options = {name: value for name, value in config.model_dump(mode="json").items() if name not in unread}
    _leave_out(options, config)
    paths = [(key[0] in TRAVELLING, path) for key, path in read_paths(config, (called,) if called else ())]
    stay = {path for travels, path in paths if travels}
    options = _without_places(options, {path: Path(path).name for _, path in paths if path not in stay})
    code, files = [_code(part, catalogue) for part in components(config)], list(_files(config, digest))
    return {"options": options, "code": code, "files": files, "packages": _packages(options)}


def _leave_out(options: object, config: object) -> None:
    """Take out of a config's options, nested ones too, `from` and what changes no result."""
    if isinstance(config, BaseModel) and isinstance(options, dict):
        unkeyed = type(config).unkeyed if isinstance(config, ComponentConfig) else ()
        for name, field in type(config).model_fields.items():
            key = field.alias or name
            if key == "from" or name in unkeyed:
                options.pop(key, None)
            elif key in options:
                _leave_out(options[key], getattr(config, name))
    elif isinstance(config, Mapping) and isinstance(options, dict):
        for key, part in config.items():
            _leave_out(options.get(key), part)
    elif isinstance(config, list | tuple) and isinstance(options, list):
        for option, part in zip(options, config, strict=False):
            _leave_out(option, part)


def _without_places(options: Any, names: Mapping[str, str]) -> Any:
    """Options with names in place of paths to what is read: a copy elsewhere is the same."""
    if isinstance(options, Mapping):
        return {key: _without_places(value, names) for key, value in options.items()}
    if isinstance(options, list):
        return [_without_places(value, names) for value in options]
    return names.get(options, options) if isinstance(options, str) else options


def _files(config: ComponentConfig, digest: Digest) -> Iterator[tuple[str, str]]:
    """Name and content of all that it reads, in folders of what is not hidden: a clone's `.git`, and what
    downloads and runs note for themselves, are others each time. What it writes would change its key."""
    for _, name in read_paths(config):
        path = Path(name)
        for file in sorted(path.rglob("*")) if path.is_dir() else [path]:
            hidden = any(part.startswith(".") for part in file.relative_to(path).parts)
            if file.is_file() and not hidden:
                yield file.relative_to(path.parent).as_posix(), digest(file)


def _packages(options: object) -> list[str]:
    """Name and version of each distribution that brings a model named `package:…`."""
    if isinstance(options, Mapping):
        return [package for value in options.values() for package in _packages(value)]
    if isinstance(options, list):
        return [package for value in options for package in _packages(value)]
    if not (isinstance(options, str) and options.startswith(PACKAGE)):
        return []
    names = packages_distributions().get(options.removeprefix(PACKAGE), ())
    return [f"{name} {version(name)}" for name in sorted(set(names))]


def _code(config: ComponentConfig, catalogue: Catalogue) -> str:
    """The fingerprint of the component that a config belongs to."""
    target = f"{type(config).__module__}:{type(config).__qualname__}"
    for entry in catalogue.entries():
        if entry.name == config.use and entry.config == target:
            return catalogue.fingerprint(entry.kind, entry.name)
    return target
