"""`plugins show`: options with defaults and ranges, and examples that are true."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from lasar_kit.catalogue import Catalogue
from lasar_kit.catalogue.registry import KINDS
from lasar_kit.spec import RunSpec, load_spec

Call = Callable[..., Any]
CATALOGUE = Catalogue.discover()


def example_of(call: Call, kind: str, name: str) -> dict[str, Any]:
    """The example that is printed, as data."""
    result = call("plugins", "show", kind, name)
    assert result.code == 0
    found: dict[str, Any] = yaml.safe_load(result.out.split("\nexample\n")[1])
    return found


def uses(part: Any) -> list[str]:
    """Every component named in a part of a spec."""
    if isinstance(part, Mapping):
        own = [part["use"]] if "use" in part else []
        return own + [name for value in part.values() for name in uses(value)]
    return [name for value in part for name in uses(value)] if isinstance(part, list) else []


def configs(part: Any) -> list[Any]:
    """All configs in a spec, nested ones included."""
    if isinstance(part, Mapping):
        return [found for value in part.values() for found in configs(value)]
    if isinstance(part, list | tuple):
        return [found for value in part for found in configs(value)]
    if not hasattr(type(part), "model_fields"):
        return []
    return [part, *(found for name in type(part).model_fields for found in configs(getattr(part, name)))]


@pytest.mark.parametrize("kind", KINDS)
def test_every_example_stands_where_its_kind_belongs(call: Call, kind: str) -> None:
    """Each example, with the stages it leaves out, is a spec in which that component has its defaults."""
    for entry in CATALOGUE.entries(kind):
        example = example_of(call, kind, entry.name)
        assert entry.name in uses(example)
        config = CATALOGUE.config_class(kind, entry.name)
        if any(field.is_required() for name, field in config.model_fields.items() if name != "use"):
            continue
        whole = {"name": "x", "stages": {"tokenize": "tokenize"}} | example
        spec = RunSpec.model_validate(whole, context={"catalogue": CATALOGUE})
        default = config.model_validate({"use": entry.name}, context={"catalogue": CATALOGUE})
        assert default in configs(spec)


def test_what_is_shown_of_options(call: Call) -> None:
    out = call("plugins", "show", "depth_policy", "mlp").out
    assert "paper: LASAR section 2.2" in out
    assert "origin: lasar-kit:builtin" in out
    rows = [line.split() for line in out.splitlines()]
    n_max = next(row for row in rows if row[:1] == ["n_max"])
    field = CATALOGUE.config_class("depth_policy", "mlp").model_fields["n_max"]
    assert n_max[:3] == ["n_max", "integer", str(field.default)]
    assert n_max[3] == ">="
    out = call("plugins", "show", "stage", "sft").out
    lr = next(line.split() for line in out.splitlines() if line.startswith("optimizer.lr"))
    assert lr[:5] == ["optimizer.lr", "number", "0.001", ">", "0"]


def test_an_example_can_be_pasted_into_a_spec(call: Call, tmp_path: Path) -> None:
    shown = call("plugins", "show", "quantizer", "rq_kmeans").out.split("\nexample\n")[1]
    (tmp_path / "spec.yaml").write_text(shown)
    quantizer = load_spec(tmp_path / "spec.yaml", (), CATALOGUE).spec.stages["tokenize"].quantizer  # type: ignore[attr-defined]
    assert (quantizer.use, quantizer.levels, quantizer.codes) == ("rq_kmeans", 4, 256)
