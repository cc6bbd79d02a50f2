"""The catalogue: which components there are, and how a config becomes one. Imports no torch, and no plugin
but one that is a single file."""

from __future__ import annotations

import dataclasses
import importlib
from collections.abc import Iterable
from functools import cached_property
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from lasar_kit.catalogue.discovery import installed_packages, registry_in, registry_of
from lasar_kit.catalogue.importer import Importer, import_failure, label
from lasar_kit.catalogue.one_file import is_one_file, read_file
from lasar_kit.catalogue.registry import Entry, Registry, entry_mistakes, read_registry
from lasar_kit.errors import UserError, nearest
from lasar_kit.kinds import KINDS

if TYPE_CHECKING:
    from pluggy import PluginManager

    from lasar_kit.catalogue.digests import Digests
    from lasar_kit.core.values import Env
    from lasar_kit.spec.component import ComponentConfig


class Catalogue:
    """Components by kind and name, from the registries of all plugins.

    `problems` tells, by origin, what of a plugin cannot be used. `folders` are the origins that are
    plain folders, each of which joins `sys.path` once something in it is needed, or single files.
    """

    def __init__(self, registries: dict[str, Registry], folders: dict[str, Path] | None = None) -> None:
        self.problems: dict[str, tuple[str, ...]] = {}
        self._folders = folders or {}
        self._importer = Importer(self._folders)
        self._refused = {origin: registry.refused for origin, registry in registries.items()}
        self._hook_modules = {origin: registry.hook_modules for origin, registry in registries.items()}
        self._hook_failures: list[str] | None = None
        self._entries: dict[tuple[str, str], list[Entry]] = {}
        self._fingerprints: dict[Entry, str] = {}
        for origin, registry in registries.items():
            for line in registry.problems:
                self._problem(origin, line)
            self._add(registry.entries)

    @classmethod
    def discover(cls, plugin_paths: Iterable[Path | str] = ()) -> Catalogue:
        """All installed plugins, and those of folders that hold a registry.toml, or one package with it, and
        of files that declare their components themselves."""
        registries: dict[str, Registry] = {}
        for origin, package in installed_packages().items():
            path = registry_of(package)
            registries[origin] = (
                Registry(problems=(path,)) if isinstance(path, str) else read_registry(path, origin)
            )
        folders = {str(path): Path(path).resolve() for path in plugin_paths}
        missing = [
            f"--plugin {origin}: is not a folder with a registry.toml, nor a Python file"
            for origin, folder in folders.items()
            if registry_in(folder) is None and not is_one_file(folder)
        ]
        if missing:
            raise UserError(*missing)
        folders = {origin: folder for folder, origin in {f: o for o, f in folders.items()}.items()}
        for origin, folder in folders.items():
            found = registry_in(folder)
            registries[origin] = read_registry(found, origin) if found else read_file(folder, origin)
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
        every = [e for same in self._entries.values() for e in same if kind in (None, e.kind)]
        return sorted(every, key=lambda entry: (KINDS.index(entry.kind), entry.name, entry.origin))

    def get(self, kind: str, name: str) -> Entry:
        """The one entry of a name.

        `UserError` names the nearest, both origins of a duplicate, or why the plugin does not fit this kit.
        """
        if (kind, name) not in self._entries:
            self._try_hooks()
        same = self._entries.get((kind, name), [])
        if not same:
            names = [entry.name for entry in self.entries(kind)]
            raise UserError(f"unknown {kind} {name!r}; {nearest(name, names)}")
        if len(same) > 1:
            origins = " and ".join(entry.origin for entry in same)
            raise UserError(f"{kind} {name!r} is declared by both {origins}; remove one of them")
        if refused := self._refused.get(same[0].origin):
            raise UserError(f"{label(same[0])}: {refused}")
        return same[0]

    def config_class(self, kind: str, name: str) -> type[ComponentConfig]:
        """The config class of a component, imported."""
        from lasar_kit.spec.bases import BASES
        from lasar_kit.spec.component import ComponentConfig

        entry = self.get(kind, name)
        config = self._importer.member(entry, entry.config)
        base = BASES.get(kind, ComponentConfig)
        if not (isinstance(config, type) and issubclass(config, base)):
            raise UserError(f"{label(entry)}: {entry.config} is not a subclass of {base.__name__}")
        try:
            config.model_rebuild()  # which its class has put off
        except Exception as error:  # whatever a plugin's types raise
            raise import_failure(entry, entry.config, error) from error
        return config

    def build(self, kind: str, config: ComponentConfig, env: Env) -> Any:
        """The component of a config, given of `env` what its kind is given (`lasar_kit.core.environment`);
        `env.build` lets it build the components nested in its config.

        `UserError` where it cannot be imported, or lacks something that its interface asks for.
        """
        from lasar_kit.core.environment import given

        entry = self.get(kind, config.use)
        target = self._importer.member(entry, entry.build)
        # A mapping keeps mypy from fixing the fields of Env here, where torch must not be imported.
        changes: dict[str, Any] = {"build": self.build}
        try:
            built = target(config, dataclasses.replace(given(kind, env), **changes))
        except ImportError as error:
            raise import_failure(entry, entry.build, error) from error
        _check_interface(entry, built)
        return built

    @cached_property
    def digests(self) -> Digests:
        """Digests of code, of the kit's sources as they are when they are first asked for."""
        from lasar_kit.catalogue.digests import Digests

        return Digests()

    def fingerprint(self, kind: str, name: str) -> str:
        """A component's build target and the digest of the code that it and its options run."""
        entry = self.get(kind, name)
        if entry not in self._fingerprints:
            modules = [target.partition(":")[0] for target in (entry.build, entry.config)]
            ours = [module for module in modules if self.digests.is_kit(module)]
            files = [self._importer.module_file(entry, module) for module in modules if module not in ours]
            if missing := [module for module in ours if module not in self.digests.kit]:
                raise UserError(f"{label(entry)}: there is no module {missing[0]!r}")
            code = self.digests.of(ours, files, self._importer.registry_folder(entry.origin))
            self._fingerprints[entry] = f"{entry.build} {code}"
        return self._fingerprints[entry]

    def hook_code(self, hook: str) -> list[str]:
        """The implementations of a hook in hook modules, each with the digest of its code."""
        paths = []
        for one in getattr(self.hooks.hook, hook).get_hookimpls():
            module, file = one.function.__module__, Path(one.function.__code__.co_filename)
            if isinstance(one.plugin, ModuleType):
                folder = self._importer.registry_folder(one.plugin_name.rpartition(" ")[0])
                code = self.digests.of((), [file], folder) if file.is_file() else ""
                paths.append(f"{module}:{one.function.__qualname__} {code}")
        return sorted(paths)

    def hooks_of(self, config: ComponentConfig) -> tuple[str, ...]:
        """The hooks that a component of kind `hook` implements, told without building it.

        `UserError` where its build target is no class, or implements none or an unknown one.
        """
        from lasar_kit.catalogue.hook_parts import implemented, mistakes

        entry = self.get("hook", config.use)
        target = self._importer.member(entry, entry.build)
        if not isinstance(target, type):
            raise UserError(f"{label(entry)}: {entry.build} is not a class")
        if wrong := mistakes(target):
            raise UserError(*(f"{label(entry)}: {line}" for line in wrong))
        return implemented(target)

    @cached_property
    def hooks(self) -> PluginManager:
        """The plugin manager; its implementations are there once `load_hooks` was called."""
        from lasar_kit.catalogue.hook_parts import manager

        return manager()

    def load_hooks(self) -> None:
        """Import the hook modules of all plugins, once; `problems` tells those that fail.

        Raises `UserError` with a line for each failure of a plugin that was asked for by path: a run that
        lacks the tracker it was given is worse than none. An installed plugin that is broken stops no run.
        """
        if self._hook_failures is None:
            self._hook_failures = []
            for origin, modules in self._hook_modules.items():
                refused = self._refused[origin]
                if refused and modules and origin in self._folders:
                    self._hook_failures.append(f"plugin {origin}: {refused}")
                for module in () if refused else modules:
                    self._load_hook_module(origin, module)
            self._add_hooked()
        if self._hook_failures:
            raise UserError(*self._hook_failures)

    def _hooks_failed(self, name: str, why: str) -> None:
        """Take note of what is wrong with a hook module, registered as `origin module`."""
        origin, _, module = name.rpartition(" ")
        self._problem(origin, f"hooks of {module}: {why}")
        if origin in self._folders:
            assert self._hook_failures is not None
            self._hook_failures.append(f"plugin {origin}: hooks of {module}: {why}")

    def _load_hook_module(self, origin: str, module: str) -> None:
        from pluggy import PluginValidationError

        self._importer.reach(origin)
        name = f"{origin} {module}"
        try:
            self.hooks.register(importlib.import_module(module), name=name)
            self.hooks.check_pending()
        except PluginValidationError as error:
            self.hooks.unregister(name=name)
            self._hooks_failed(name, " ".join(str(error).split()))
        except Exception as error:  # whatever a plugin's code raises when imported
            self._hooks_failed(name, f"{type(error).__name__}: {error}")

    def _add_hooked(self) -> None:
        """The components that hook modules make; one module that fails leaves those of the others."""
        for hook in self.hooks.hook.lasar_components.get_hookimpls():
            try:
                made: Any = hook.function()
                entries: list[Entry] = list(made)
                mistakes = [(entry, line) for entry in entries for line in entry_mistakes(entry)]
            except Exception as error:  # whatever a plugin's code raises
                self._hooks_failed(hook.plugin_name, f"lasar_components: {type(error).__name__}: {error}")
                continue
            for entry, line in mistakes:
                self._problem(entry.origin, line)
            wrong = [entry for entry, _ in mistakes]
            self._add(entry for entry in entries if entry not in wrong)

    def _try_hooks(self) -> None:
        """Load hooks in search of a component that no registry lists; failures stay in `problems`."""
        try:
            self.load_hooks()
        except UserError:
            return


def _check_interface(entry: Entry, built: Any) -> None:
    """`UserError` if a component lacks something that its interface asks for."""
    from lasar_kit.core.interfaces import INTERFACES

    interface = INTERFACES.get(entry.kind)
    members = {*vars(interface), *interface.__annotations__} if interface else set()
    lacking = sorted(name for name in members if name[0] != "_" and not hasattr(built, name))
    if interface and lacking:
        raise UserError(
            f"{label(entry)}: {entry.build} lacks {', '.join(lacking)}; "
            f"see {interface.__name__} in lasar_kit.core.interfaces"
        )
