"""How one spec changes another: a JSON merge patch (RFC 7396) that knows components and their options."""

from __future__ import annotations

from lasar_kit.spec.shape import NOTHING, Shape
from lasar_kit.spec.yaml_source import Node


def _as_table(node: Node) -> Node:
    """A bare component name as the table it stands for."""
    return Node({"use": node}, node.place) if isinstance(node.value, str) else node


def _ordered(base: dict[str, Node], patch: dict[str, Node]) -> list[str]:
    """Keys of both: a new one goes before the next key of the patch that the base knows, or last."""
    order = list(base)
    keys = list(patch)
    for position, key in enumerate(keys):
        if key not in base:
            known = next((later for later in keys[position:] if later in base), None)
            order.insert(len(order) if known is None else order.index(known), key)
    return order


def _named(*tables: dict[str, Node]) -> object:
    """The component that the first table names which names one."""
    return next((table["use"].value for table in tables if "use" in table and table["use"].value), None)


def _stripped(node: Node, shape: Shape) -> Node:
    """A patch onto nothing: its tables without the keys whose null says nothing."""
    if not isinstance(node.value, dict):
        return node
    kept: dict[str, Node] = {}
    for key, value in node.value.items():
        inner = shape.key(key, _named(node.value))
        if value.value is not None or inner.keeps_null:
            kept[key] = _stripped(value, inner)
    return Node(kept, node.place)


def merge(base: Node, patch: Node, shape: Shape = NOTHING) -> Node:
    """`base` changed by `patch`; every value keeps the place it was written at.

    Tables merge key by key, null deletes, anything else replaces. A table that names another component
    by `use` replaces the whole table, so that no option of the old one is left behind; a bare name is
    short for `{use: name}` here too. Null stays where `shape` says that it is a value of its own: what
    is deleted takes its default, and that would be another.
    """
    if isinstance(patch.value, str) and isinstance(base.value, dict) and "use" in base.value:
        patch = _as_table(patch)
    if isinstance(patch.value, dict):
        base = _as_table(base)
    if not (isinstance(base.value, dict) and isinstance(patch.value, dict)):
        return _stripped(patch, shape)
    used, uses = base.value.get("use"), patch.value.get("use")
    if used is not None and uses is not None and used.value != uses.value:
        return _stripped(patch, shape)
    merged: dict[str, Node] = {}
    for key in _ordered(base.value, patch.value):
        old, new = base.value.get(key), patch.value.get(key)
        inner = shape.key(key, _named(patch.value, base.value))
        if new is None:
            assert old is not None
            merged[key] = old
        elif new.value is not None or inner.keeps_null:
            merged[key] = _stripped(new, inner) if old is None else merge(old, new, inner)
    return Node(merged, patch.place if patch.value else base.place)
