"""Plugins declare the API they were written for; another one is refused with what has changed."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lasar_kit.catalogue import Catalogue
from lasar_kit.catalogue import api_version as api
from lasar_kit.errors import UserError
from tests.cli.conftest import REGISTRY

HISTORY = {
    "1.0": "the first",
    "1.1": "Env has a head",
    "2.0": "Beams has no tokens",
    "2.1": "Rollout has ref_kl",
}


@pytest.fixture
def later(monkeypatch: pytest.MonkeyPatch) -> None:
    """A kit that has come as far as 2.1."""
    monkeypatch.setattr(api, "API", "2.1")
    monkeypatch.setattr(api, "CHANGES", HISTORY)


@pytest.mark.parametrize("wanted", [">=1,<3", ">=2", "==2.*", "~=2.0", "==2.1", "", "!=1.0"])
def test_a_range_that_holds_this_version_fits(later: None, wanted: str) -> None:
    assert api.mismatch(wanted) is None


@pytest.mark.parametrize(
    ("wanted", "told"),
    [
        (">=1,<2", "changed since: 2.0: Beams has no tokens; 2.1: Rollout has ref_kl"),
        ("==1.0", "changed since: 1.1: Env has a head; 2.0: Beams has no tokens; 2.1: Rollout has ref_kl"),
        (">=1,!=2.1", "changed since: 2.1: Rollout has ref_kl"),
        ("<1", "changed since: 1.0: the first; 1.1: Env has a head; 2.0: Beams has no tokens; 2.1: Rollout "
         "has ref_kl"),
        (">=3", "it needs a later lasar-kit"),
        ("~=2.2", "it needs a later lasar-kit"),
        ("==3.*", "it needs a later lasar-kit"),
    ],
)  # fmt: skip
def test_another_version_is_told_with_what_changed(later: None, wanted: str, told: str) -> None:
    text = api.mismatch(wanted)
    assert text is not None
    assert text.startswith(f"written for API {wanted}, but this lasar-kit has 2.1; ")
    assert text.endswith(told)


def test_the_version_is_the_last_of_its_changes() -> None:
    assert list(api.CHANGES)[-1] == api.API
    assert api.mismatch(">=2,<3") is None


@pytest.mark.parametrize(
    ("table", "problem"),
    [
        ("[lasar]\napi = '>=3,<4'", "written for API >=3,<4, but this lasar-kit has 2.0; it needs a later"),
        (
            "[lasar]\napi = '>=1,<2'",
            "written for API >=1,<2, but this lasar-kit has 2.0; changed",
        ),
        ("[lasar]\napi = 'two'", "[lasar] api must read like '>=2,<3' (got 'two')"),
        ("[lasar]\napi = 2", "[lasar]: must hold api = "),
        ("[lasar]\nappi = '>=1'", "[lasar]: must hold api = "),
        ("lasar = 3", "[lasar]: must hold api = "),
    ],
)
def test_nothing_of_a_plugin_that_does_not_fit_is_used(
    write_plugin: Callable[..., Path], call: Callable[..., Any], table: str, problem: str
) -> None:
    hooks = "raise RuntimeError('imported')"
    registry = f"{table}\n{REGISTRY}[hooks]\nmodules = ['elsewhere.hooks']\n"
    folder = write_plugin("elsewhere", registry=registry, hooks=hooks)
    listed = call("plugins", "list", "quantizer", "--plugin", folder)
    assert listed.code == 0
    assert "mine" in listed.out
    assert "rq_kmeans" in listed.out
    assert len(listed.err) == 1
    assert listed.err[0].startswith(f"plugin {folder}: {folder}/registry.toml: {problem}")
    shown = call("plugins", "show", "quantizer", "mine", "--plugin", folder)
    assert shown.code == 2
    assert shown.err[0].startswith(f"quantizer 'mine' of {folder}: {problem}")
    catalogue = Catalogue.discover([folder])
    with pytest.raises(UserError) as caught:  # as its hooks were asked for by path
        catalogue.load_hooks()
    (line,) = caught.value.lines
    assert line.startswith(f"plugin {folder}: {problem}")
    assert "elsewhere.hooks" not in sys.modules
    with pytest.raises(UserError, match="quantizer 'mine'"):
        catalogue.fingerprint("quantizer", "mine")


def test_a_plugin_that_fits_or_declares_nothing_is_used(write_plugin: Callable[..., Path]) -> None:
    fits = write_plugin("fits", registry="[lasar]\napi = '>=2,<3'\n" + REGISTRY)
    silent = write_plugin("silent", name="other")
    catalogue = Catalogue.discover([fits, silent])
    assert catalogue.problems == {}
    assert catalogue.config_class("quantizer", "mine")
    assert catalogue.config_class("quantizer", "other")
