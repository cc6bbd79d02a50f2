"""Components of kind `hook`: which hooks they implement, and what is wrong with them."""

from __future__ import annotations

from collections.abc import Iterator

import pluggy

from lasar_kit import hookspecs
from lasar_kit.errors import nearest

OFFERED = tuple(name for name in hookspecs.HOOKS if name != "lasar_components")
"""The hooks that a component may implement."""


def manager() -> pluggy.PluginManager:
    """A plugin manager that knows all hooks, without any implementation."""
    made = pluggy.PluginManager(hookspecs.PROJECT)
    made.add_hookspecs(hookspecs)
    return made


def implemented(part: object) -> tuple[str, ...]:
    """The hooks that a component, or its class, marks implementations of; unknown names too."""
    return tuple(_implemented(part))


def _implemented(part: object) -> Iterator[str]:
    for name in dir(part):
        options = getattr(getattr(part, name, None), f"{hookspecs.PROJECT}_impl", None)
        if isinstance(options, dict) and not options.get("optionalhook"):
            yield options.get("specname") or name


def mistakes(part: object) -> list[str]:
    """List what keeps a component, or its class, from being a hook: it implements none, or unknown ones."""
    names = implemented(part)
    if not names:
        return ["implements no hook: mark its methods by lasar_kit.hookspecs.hookimpl"]
    return [
        f"{name} is a hook of modules alone"
        if name in hookspecs.HOOKS
        else f"unknown hook {name!r}; {nearest(name, OFFERED)}"
        for name in names
        if name not in OFFERED
    ]


def register(hooks: pluggy.PluginManager, part: object) -> list[str]:
    """Have a manager call a component; what is wrong with it, in which case it is not called."""
    wrong = mistakes(part)
    try:
        manager().register(part)  # one that refuses a part keeps half of it
    except pluggy.PluginValidationError as error:
        wrong = wrong or [" ".join(str(error).split())]
    if not wrong:
        hooks.register(part)
    return wrong
