"""Puts the root's registry.toml into the wheel; an editable install reads it where it stands."""

from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class RegistryHook(BuildHookInterface):
    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        if version == "standard":
            build_data["force_include"]["registry.toml"] = "lasar_plugins/registry.toml"
