"""The contract suite: proves a component right by named checks, in its author's own repository.

Importing this imports neither torch nor hypothesis; what it offers does. Three front doors:
`parametrize_with_checks` in a test file, `lasar-kit plugins check KIND NAME`, and
`pytest --lasar-plugin KIND:NAME`.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lasar_kit.errors import UserError

if TYPE_CHECKING:
    from lasar_kit.catalogue import Catalogue
    from lasar_kit.spec import ComponentConfig
    from lasar_kit.testing.contract import Check, Result, Subject

__all__ = ["check_component", "checks_for", "parametrize_with_checks"]


def checks_for(kind: str) -> tuple[Check, ...]:
    """The checks of a kind, those that all kinds share first; `UserError` for a kind without any."""
    _require("hypothesis")
    from lasar_kit.testing.checks import checks_for as found

    return found(kind)


def check_component(
    kind: str,
    name: str,
    options: Mapping[str, Any] | None = None,
    catalogue: Catalogue | None = None,
    device: str = "cpu",
    share: float = 1.0,
) -> list[Result]:
    """Run all checks of a component by its name in a catalogue (all installed plugins when None).

    `options` are those a spec would give it; `device` is where it is built and tried. With a `share` below 1
    each check draws so many fewer examples. `UserError` for an unknown name or wrong options.
    """
    _require("hypothesis")
    from lasar_kit.testing.runner import run_checks, subject_of

    return run_checks(subject_of(kind, {"use": name, **(options or {})}, catalogue, device, share))


def parametrize_with_checks(
    components: Sequence[tuple[str, ComponentConfig | Mapping[str, Any] | str] | Subject],
    expected_failures: Mapping[str, str] | None = None,
    *,
    plugin_paths: Iterable[Path | str] = (),
) -> Any:
    """Decorator of a test function that is called with each check of each component.

    A component is `(kind, options)`: its config, a table with `use` as in a spec, or its bare name.

        @parametrize_with_checks([("aligner", {"use": "mine", "scale": 2.0})])
        def test_contract(check):
            check()

    `expected_failures` maps a check's name to the reason why it fails; one that passes after all fails.
    """
    _require("hypothesis", "pytest")
    from lasar_kit.testing.parametrize import parametrize

    return parametrize(components, expected_failures or {}, plugin_paths)


def _require(*modules: str) -> None:
    for module in modules:
        if importlib.util.find_spec(module) is None:
            raise UserError(f'the contract suite needs {module}: pip install "lasar-kit[testing]"')
