"""Puts registry.toml and the presets into the wheel; an editable install reads them where they stand."""

from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class RegistryHook(BuildHookInterface):
    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        if version == "standard":
            included = build_data["force_include"]
            included["registry.toml"] = "lasar_plugins/registry.toml"
            tutorials = Path(self.root) / "tutorials"
            for path in sorted(tutorials.rglob("*.yaml")):
                included[str(path)] = f"lasar_kit/presets/{path.relative_to(tutorials).as_posix()}"
