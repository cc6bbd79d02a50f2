"""`pytest --lasar-plugin KIND:NAME`: the checks of a component as tests, without a test file.

Imports nothing of the kit before that option is given.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from lasar_kit.testing.parametrize import BoundCheck

SUITE = Path(__file__).with_name("contract_suite.py")
_CHECKS: pytest.StashKey[list[BoundCheck]] = pytest.StashKey()


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("lasar-kit")
    group.addoption(
        "--lasar-plugin",
        action="append",
        default=[],
        metavar="KIND:NAME",
        help="run the contract checks of a component, such as aligner:stepwise",
    )
    group.addoption(
        "--lasar-set",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="an option of the components under --lasar-plugin",
    )
    group.addoption(
        "--lasar-path",
        action="append",
        default=[],
        metavar="PATH",
        help="a plugin: the folder of its registry.toml, or one file",
    )


def pytest_configure(config: pytest.Config) -> None:
    if not config.getoption("--lasar-plugin"):
        return
    from lasar_kit.catalogue import Catalogue
    from lasar_kit.errors import UserError
    from lasar_kit.spec.load import set_options
    from lasar_kit.testing.parametrize import bound_checks

    try:
        catalogue = Catalogue.discover(config.getoption("--lasar-path"))
        sets = config.getoption("--lasar-set")
        pairs = [name.partition(":")[::2] for name in config.getoption("--lasar-plugin")]
        components = [(kind, set_options(sets, kind, name, catalogue)) for kind, name in pairs]
        config.stash[_CHECKS] = bound_checks(components, {}, catalogue)
    except UserError as error:
        raise pytest.UsageError("\n".join(error.lines)) from None
    named = config.args if config.args_source is pytest.Config.ArgsSource.ARGS else []
    config.args = [*named, str(SUITE)]


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "lasar_check" in metafunc.fixturenames:
        bound = metafunc.config.stash.get(_CHECKS, [])
        metafunc.parametrize("lasar_check", [pytest.param(each, id=each.id) for each in bound])
