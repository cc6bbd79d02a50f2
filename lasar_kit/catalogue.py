"""The catalogue: which components there are, and how a config becomes one. Imports no torch, no plugin."""

from __future__ import annotations

import dataclasses
import hashlib
import importlib
import importlib.util
import sys
from collections.abc import Iterable, Sequence
from functools import cached_property
from importlib.metadata import entry_points
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lasar_kit.errors import UserError, nearest
from lasar_kit.registry import KINDS, Entry, Registry, entry_mistakes, read_registry

if TYPE_CHECKING:
    from pluggy import PluginManager

    from lasar_kit.core.values import Env
    from lasar_kit.spec.component import ComponentConfig

GROUP = "lasar_kit"
_BUILTIN = {"lasar-kit:builtin": "lasar_plugins"}
_INSTALLED = ("site-packages", "dist-packages")


def package_folder(name: str) -> Path | None:
    """The folder of a package, found without importing it or its parents."""
    top, _, rest = name.partition(".")
    try:
        spec = importlib.util.find_spec(top)
    except (ImportError, ValueError):
        return None
    for location in (spec.submodule_search_locations or ()) if spec else ():
        folder = Path(location, *rest.split(".")) if rest else Path(location)
        if folder.is_dir():
            return folder
    return None


def _registry_of(package: str) -> Path | str:
    """The registry.toml of a package, or why there is none."""
    folder = package_folder(package)
    if folder is None:
        return f"package {package!r} is not installed"
    if (folder / "registry.toml").is_file():
        return folder / "registry.toml"
    for parent in folder.parents:
        if parent.name in _INSTALLED:
            break
        if (parent / "pyproject.toml").is_file():
            if (parent / "registry.toml").is_file():
                return parent / "registry.toml"
            break
    return f"package {package!r} holds no registry.toml"


def _installed_packages() -> dict[str, str]:
    """Origin to package of all installed plugins; those of lasar-kit even where it runs uninstalled."""
    found = dict(_BUILTIN)
    for point in sorted(entry_points(group=GROUP), key=lambda point: (point.name, point.value)):
        distribution = point.dist.name if point.dist else "unknown"
        found[f"{distribution}:{point.name}"] = point.value
    return found


class Catalogue:
    """Components by kind and name, from the registries of all plugins.

    `problems` tells, by origin, what of a plugin cannot be used. `folders` are the origins that are
    plain folders; each joins `sys.path` once something in it is needed.
    """

    def __init__(self, registries: dict[str, Registry], folders: dict[str, Path] | None = None) -> None:
        self.problems: dict[str, tuple[str, ...]] = {}
        self._folders = folders or {}
        self._hook_modules = {origin: registry.hook_modules for origin, registry in registries.items()}
        self._hook_failures: list[str] | None = None
        self._entries: dict[tuple[str, str], list[Entry]] = {}
        self._fingerprints: dict[str, str] = {}
        for origin, registry in registries.items():
            for line in registry.problems:
                self._problem(origin, line)
            self._add(registry.entries)

    @classmethod
    def discover(cls, plugin_paths: Iterable[Path | str] = ()) -> Catalogue:
        """All installed plugins, and those of unpackaged folders that hold a registry.toml."""
        registries: dict[str, Registry] = {}
        for origin, package in _installed_packages().items():
            path = _registry_of(package)
            registries[origin] = (
                Registry(problems=(path,)) if isinstance(path, str) else read_registry(path, origin)
            )
        folders = {str(path): Path(path).resolve() for path in plugin_paths}
        missing = [
            f"--plugin {origin}: is not a folder with a registry.toml"
            for origin, folder in folders.items()
            if not (folder / "registry.toml").is_file()
        ]
        if missing:
            raise UserError(*missing)
        folders = {origin: folder for folder, origin in {f: o for o, f in folders.items()}.items()}
        for origin, folder in folders.items():
            registries[origin] = read_registry(folder / "registry.toml", origin)
        return cls(registries, folders)

    def _problem(self, origin: str, line: str) -> None:
        self.problems[origin] = (*self.problems.get(origin, ()), line)

    def _add(self, entries: Iterable[Entry]) -> None:
        for entry in entries:
            same = self._entries.setdefault((entry.kind, entry.name), [])
            if same:
                self._problem(entry.origin, f"{entry.kind} {entry.name!r} is also in {same[0].origin}")
            same.append(entry)

    def entries(self, kind: str | None = None) -> list[Entry]:
        """Entries in the order of `KINDS`, then by name; those of one kind if it is given."""
        if kind is not None and kind not in KINDS:
            raise UserError(f"unknown kind {kind!r}; {nearest(kind, KINDS)}")
        found = [e for same in self._entries.values() for e in same if kind in (None, e.kind)]
        return sorted(found, key=lambda entry: (KINDS.index(entry.kind), entry.name, entry.origin))

    def get(self, kind: str, name: str) -> Entry:
        """The one entry of a name; `UserError` names the nearest, or both origins of a duplicate."""
        if (kind, name) not in self._entries:
            self._try_hooks()
        same = self._entries.get((kind, name), [])
        if not same:
            names = [entry.name for entry in self.entries(kind)]
            raise UserError(f"unknown {kind} {name!r}; {nearest(name, names)}")
        if len(same) > 1:
            origins = " and ".join(entry.origin for entry in same)
            raise UserError(f"{kind} {name!r} is declared by both {origins}; remove one of them")
        return same[0]

    def config_class(self, kind: str, name: str) -> type[ComponentConfig]:
        """The config class of a component, imported."""
        from lasar_kit.spec.component import ComponentConfig, DecoderConfig, StageConfig

        entry = self.get(kind, name)
        found = self._import(entry, entry.config)
        bases: dict[str, type[ComponentConfig]] = {"stage": StageConfig, "decoder": DecoderConfig}
        base = bases.get(kind, ComponentConfig)
        if not (isinstance(found, type) and issubclass(found, base)):
            raise UserError(f"{_label(entry)}: {entry.config} is not a subclass of {base.__name__}")
        return found

    def build(self, kind: str, config: ComponentConfig, env: Env) -> Any:
        """The component of a config; `env.build` lets it build the components nested in its config."""
        entry = self.get(kind, config.use)
        target = self._import(entry, entry.build)
        # A mapping keeps mypy from fixing the fields of Env here, where torch must not be imported.
        changes: dict[str, Any] = {"build": self.build}
        try:
            return target(config, dataclasses.replace(env, **changes))
        except ImportError as error:
            raise _import_failure(entry, entry.build, error) from error

    def fingerprint(self, kind: str, name: str) -> str:
        """SHA-256 of the Python sources beside a component's build target, so that an edit makes it new."""
        entry = self.get(kind, name)
        if entry.build not in self._fingerprints:
            module = self._module_file(entry)
            packaged = (module.parent / "__init__.py").is_file()
            sources = module.parent.rglob("*.py") if packaged else module.parent.glob("*.py")
            digest = hashlib.sha256(entry.build.encode())
            for path in sorted(sources, key=lambda path: path.relative_to(module.parent).as_posix()):
                digest.update(path.relative_to(module.parent).as_posix().encode() + b"\0")
                digest.update(hashlib.sha256(path.read_bytes()).digest())
            self._fingerprints[entry.build] = digest.hexdigest()
        return self._fingerprints[entry.build]

    def _module_file(self, entry: Entry) -> Path:
        """The source file of an entry's build target."""
        self._reach(entry.origin)
        module = entry.build.partition(":")[0]
        try:
            spec = importlib.util.find_spec(module)
        except ImportError as error:
            raise _import_failure(entry, entry.build, error) from error
        if spec is None or spec.origin is None:
            raise UserError(f"{_label(entry)}: there is no module {module!r}")
        return Path(spec.origin)

    def _reach(self, origin: str) -> None:
        """Make an unpackaged plugin importable; last, so that it hides nothing installed."""
        folder = self._folders.get(origin)
        if folder is not None and str(folder) not in sys.path:
            sys.path.append(str(folder))
            importlib.invalidate_caches()

    def _import(self, entry: Entry, target: str) -> Any:
        module_name, _, attribute = target.partition(":")
        self._reach(entry.origin)
        try:
            module = importlib.import_module(module_name)
            found = getattr(module, attribute)
        except Exception as error:  # whatever a plugin's code raises when imported
            raise _import_failure(entry, target, error) from error
        folder, file = self._folders.get(entry.origin), getattr(module, "__file__", None)
        if folder is not None and file and not Path(file).resolve().is_relative_to(folder):
            raise UserError(f"{_label(entry)}: another {module_name!r} hides the one of the plugin: {file}")
        return found

    @cached_property
    def hooks(self) -> PluginManager:
        """The plugin manager; its implementations are there once `load_hooks` was called."""
        import pluggy

        from lasar_kit import hookspecs

        manager = pluggy.PluginManager(hookspecs.PROJECT)
        manager.add_hookspecs(hookspecs)
        return manager

    def load_hooks(self) -> None:
        """Import the hook modules of all plugins, once.

        Raises `UserError` with a line for each that fails: a run that silently lacks its tracker is worse.
        """
        if self._hook_failures is None:
            self._hook_failures = [
                failure
                for origin, modules in self._hook_modules.items()
                for module in modules
                if (failure := self._load_hook_module(origin, module))
            ]
            for entries in self.hooks.hook.lasar_components():
                self._add_hooked(entries)
        if self._hook_failures:
            raise UserError(*self._hook_failures)

    def _load_hook_module(self, origin: str, module: str) -> str | None:
        """Register a hook module; the line that tells what is wrong with it, if anything is."""
        from pluggy import PluginValidationError

        self._reach(origin)
        name = f"{origin} {module}"
        try:
            self.hooks.register(importlib.import_module(module), name=name)
            self.hooks.check_pending()
        except PluginValidationError as error:
            self.hooks.unregister(name=name)
            line = " ".join(str(error).split())
        except Exception as error:  # whatever a plugin's code raises when imported
            line = f"{type(error).__name__}: {error}"
        else:
            return None
        self._problem(origin, f"hooks of {module}: {line}")
        return f"plugin {origin}: hooks of {module}: {line}"

    def _add_hooked(self, entries: Sequence[Entry]) -> None:
        for entry in entries:
            mistakes = entry_mistakes(entry)
            for line in mistakes:
                self._problem(entry.origin, line)
            if not mistakes:
                self._add([entry])

    def _try_hooks(self) -> None:
        """Load hooks in search of a component that no registry lists; failures stay in `problems`."""
        try:
            self.load_hooks()
        except UserError:
            return


def _label(entry: Entry) -> str:
    return f"{entry.kind} {entry.name!r} of {entry.origin}"


def _import_failure(entry: Entry, target: str, error: Exception) -> UserError:
    """One line on why a component cannot be had, with the command that mends it if that is known."""
    text = f"{_label(entry)}: cannot import {target}: {type(error).__name__}: {error}"
    own = target.partition(".")[0]
    missing = error.name if isinstance(error, ModuleNotFoundError) else None
    if entry.requires and missing and missing.partition(".")[0] != own:
        text += f"; {entry.requires}"
    return UserError(" ".join(text.split()))
