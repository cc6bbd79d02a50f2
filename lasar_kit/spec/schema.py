"""JSON Schema of a spec, for editors: every component's options, told apart by `use`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from lasar_kit.errors import UserError
from lasar_kit.kinds import KINDS
from lasar_kit.spec.component import KIND_KEY, ConfigSource, SpecModel
from lasar_kit.spec.run_spec import RunSpec

if TYPE_CHECKING:
    from lasar_kit.catalogue.registry import Entry

DRAFT = "https://json-schema.org/draft/2020-12/schema"


class Listing(ConfigSource, Protocol):
    """A catalogue as the schema needs it: config classes, and the entries there are."""

    def entries(self, kind: str | None = None) -> list[Entry]:
        """Entries of a kind."""


def _placed(schema: Any) -> Any:
    """A schema whose places for components refer to the definition of their kind."""
    if isinstance(schema, list):
        return [_placed(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    placed = {key: _placed(value) for key, value in schema.items() if key != KIND_KEY}
    if isinstance(kind := schema.get(KIND_KEY), str):
        default = schema.get("default")
        name = default.get("use") if isinstance(default, dict) else default
        any_of = {"$ref": f"#/$defs/{kind}"}
        # A table without `use` holds options of the component that stands here by default.
        placed |= {"anyOf": [any_of, {"$ref": f"#/$defs/{kind}.{name}"}]} if name else any_of
    return placed


def _model_schema(model: type[SpecModel], name: str, definitions: dict[str, Any]) -> dict[str, Any]:
    """The schema of a model; those of models nested in it join the definitions under its name."""
    schema = model.model_json_schema(ref_template=f"#/$defs/{name}.{{model}}")
    for nested, definition in schema.pop("$defs", {}).items():
        definitions[f"{name}.{nested}"] = _placed(definition)
    placed: dict[str, Any] = _placed(schema)
    return placed


def _component_schema(entry: Entry, catalogue: Listing, definitions: dict[str, Any]) -> dict[str, Any]:
    """Options of one component, `use` held to its name."""
    name = f"{entry.kind}.{entry.name}"
    schema = _model_schema(catalogue.config_class(entry.kind, entry.name), name, definitions)
    schema["title"] = entry.name
    schema.setdefault("description", entry.summary)
    schema["properties"]["use"] = {"const": entry.name, "description": entry.summary}
    schema["required"] = [key for key in schema.get("required", []) if key != "use"]
    return schema


def json_schema(catalogue: Listing) -> tuple[dict[str, Any], list[str]]:
    """The schema of a spec, and a line for each component that had to be left out of it.

    A spec that extends another may leave out anything, so only its uppermost keys are held to.
    """
    definitions: dict[str, Any] = {}
    problems: list[str] = []
    for kind in KINDS:
        names: list[str] = []
        for entry in catalogue.entries(kind):
            try:
                definitions[f"{kind}.{entry.name}"] = _component_schema(entry, catalogue, definitions)
                names.append(entry.name)
            except UserError as error:
                problems.extend(error.lines)
        options = [{"$ref": f"#/$defs/{kind}.{name}", "required": ["use"]} for name in names]
        definitions[kind] = {"oneOf": [{"enum": names, "description": f"A {kind} by name."}, *options]}
    whole = _model_schema(RunSpec, "run", definitions)
    whole["required"] = [key for key in whole["required"] if key != "name"]
    extends = {
        "type": "string",
        "description": "Spec that this one changes: a path, or preset:NAME.",
    }
    keys: dict[str, Any] = {key: {} for key in whole["properties"]}
    partial = {
        "type": "object",
        "properties": keys | {"extends": extends},
        "required": ["extends"],
        "additionalProperties": False,
    }
    root = {"$schema": DRAFT, "title": "A lasar-kit run", "type": "object", "$defs": definitions}
    # Two that share a name each tell the same of it.
    told = list(dict.fromkeys(problems))
    return root | {"if": {"required": ["extends"]}, "then": partial, "else": whole}, told
