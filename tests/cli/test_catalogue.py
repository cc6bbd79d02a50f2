"""Discovery, broken plugins, building, fingerprints and hooks."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from lasar_kit.catalogue import Catalogue
from lasar_kit.catalogue.discovery import package_folder
from lasar_kit.catalogue.registry import KINDS
from lasar_kit.core.values import Env
from lasar_kit.errors import UserError

Write = Callable[..., Path]


def told(catalogue: Catalogue, folder: Path) -> str:
    return "\n".join(catalogue.problems[str(folder)])


def test_the_built_in_components() -> None:
    catalogue = Catalogue.discover()
    assert catalogue.problems == {}
    assert {entry.kind for entry in catalogue.entries()} <= set(KINDS)
    assert catalogue.get("quantizer", "rq_kmeans").origin == "lasar-kit:builtin"
    for entry in catalogue.entries():
        assert catalogue.config_class(entry.kind, entry.name).__doc__


def test_entries_are_sorted_by_kind_and_name() -> None:
    keys = [(KINDS.index(entry.kind), entry.name) for entry in Catalogue.discover().entries()]
    assert keys == sorted(keys)
    assert len(keys) == len(set(keys))


def test_unknown_names_and_kinds() -> None:
    catalogue = Catalogue.discover()
    with pytest.raises(UserError, match="unknown backbone 'qwen'; did you mean 'qwen3'"):
        catalogue.get("backbone", "qwen")
    with pytest.raises(UserError, match="unknown kind 'quantiser'; did you mean 'quantizer'"):
        catalogue.get("quantiser", "rq_kmeans")


def test_a_folder_joins_and_builds(write_plugin: Write) -> None:
    folder = write_plugin("alpha")
    catalogue = Catalogue.discover([folder])
    assert str(folder) not in sys.path
    assert "alpha" not in sys.modules
    config = catalogue.config_class("quantizer", "mine")(use="mine")
    assert sys.path[-1] == str(folder)
    built = catalogue.build("quantizer", config, Env(seed=7))
    assert (built.config, built.env.seed) == (config, 7)
    assert built.env.build("quantizer", config, built.env).config is config


def test_a_component_that_lacks_what_its_interface_asks_for(write_plugin: Write) -> None:
    build = "class Component:\n    sizes = fit = encode = decode = None\n    def __init__(self, *_): ...\n"
    folder = write_plugin("lacking", build=build)
    catalogue = Catalogue.discover([folder])
    config = catalogue.config_class("quantizer", "mine")(use="mine")
    with pytest.raises(UserError) as caught:
        catalogue.build("quantizer", config, Env())
    assert caught.value.lines == (
        f"quantizer 'mine' of {folder}: lacking.build:Component lacks load_state_dict, state_dict; "
        "see Quantizer in lasar_kit.core.interfaces",
    )


def test_a_folder_given_twice_is_one(write_plugin: Write) -> None:
    folder = write_plugin("twice")
    assert Catalogue.discover([folder, folder.parent / "." / folder.name]).problems == {}


def test_a_folder_that_is_no_plugin(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"is not a folder with a registry\.toml"):
        Catalogue.discover([tmp_path])


def test_duplicates_name_both_origins_and_spare_the_rest(write_plugin: Write) -> None:
    first, second = write_plugin("one"), write_plugin("two")
    catalogue = Catalogue.discover([first, second])
    with pytest.raises(UserError) as caught:
        catalogue.get("quantizer", "mine")
    assert str(first) in str(caught.value)
    assert str(second) in str(caught.value)
    assert f"also in {first}" in told(catalogue, second)
    assert catalogue.get("quantizer", "rq_kmeans")


@pytest.mark.parametrize(
    ("registry", "problem"),
    [
        ("[quantizer.mine", "cannot be read"),
        ('[quantiser.mine]\nsummary = "x"', "unknown kind 'quantiser'; did you mean 'quantizer'?"),
        ('[quantizer.mine]\nsummary = "x"', "[quantizer.mine]: lacks config, build"),
        ("[quantizer]\nmine = 3", "[quantizer.mine]: must be a table"),
        (
            '[quantizer.m]\nsummary="x"\nconfig="a:B"\nbuild="a:B"\npapr="p"',
            "unknown key 'papr'; did you mean 'paper'?",
        ),
        (
            '[quantizer.m]\nsummary="x"\nconfig="a.B"\nbuild="a:B"',
            "config must read 'package.module:Class' (got 'a.B')",
        ),
        ('[quantizer.m]\nsummary=3\nconfig="a:B"\nbuild="a:B"', "summary must be a text (got 3)"),
        ("[hooks]\nmodules = 3", "[hooks]: must hold modules"),
    ],
)
def test_a_broken_registry_takes_nothing_else_down(write_plugin: Write, registry: str, problem: str) -> None:
    folder = write_plugin("broken", registry=registry.replace("{", "{{"))
    catalogue = Catalogue.discover([folder])
    assert problem in told(catalogue, folder)
    assert catalogue.get("quantizer", "rq_kmeans")


def test_what_is_sound_in_a_broken_registry_is_kept(write_plugin: Write) -> None:
    from tests.cli.conftest import REGISTRY

    folder = write_plugin("half", registry=REGISTRY + "[backbone.x]\n")
    catalogue = Catalogue.discover([folder])
    assert catalogue.get("quantizer", "mine").origin == str(folder)
    assert "lacks summary, config, build" in told(catalogue, folder)


@pytest.mark.parametrize(
    ("config", "cause"),
    [
        ("import not_there_at_all", "ModuleNotFoundError: No module named 'not_there_at_all'"),
        ("def broken(:", "SyntaxError"),
        ("raise RuntimeError('on import')", "RuntimeError: on import"),
        ("Other = 1", "AttributeError"),
        ("Config = 3", "is not a subclass of QuantizerConfig"),
    ],
)
def test_a_component_that_cannot_be_imported(write_plugin: Write, config: str, cause: str) -> None:
    package = f"bad_{abs(hash(config))}"
    folder = write_plugin(package, config=config)
    catalogue = Catalogue.discover([folder])
    with pytest.raises(UserError) as caught:
        catalogue.config_class("quantizer", "mine")
    assert f"quantizer 'mine' of {folder}: " in str(caught.value)
    assert cause in str(caught.value)


def test_a_missing_library_names_the_command_that_installs_it(write_plugin: Write) -> None:
    from tests.cli.conftest import REGISTRY

    registry = REGISTRY + 'requires = "pip install the-library"\n'
    build = "class Component:\n    def __init__(self, config, env):\n        import the_library\n"
    catalogue = Catalogue.discover([write_plugin("needy", registry=registry, build=build)])
    config = catalogue.config_class("quantizer", "mine")(use="mine")
    with pytest.raises(UserError, match=r"No module named 'the_library'; pip install the-library$"):
        catalogue.build("quantizer", config, Env())


def test_a_module_that_another_hides(write_plugin: Write) -> None:
    catalogue = Catalogue.discover([write_plugin("json", config="class Config: pass")])
    with pytest.raises(UserError, match=r"cannot import json\.config"):
        catalogue.config_class("quantizer", "mine")


def test_a_fingerprint_changes_with_the_sources_alone(write_plugin: Write) -> None:
    folder = write_plugin("prints")

    def fingerprint() -> str:
        return Catalogue.discover([folder]).fingerprint("quantizer", "mine")

    first = fingerprint()
    assert fingerprint() == first
    (folder / "prints/notes.txt").write_text("not a source")
    assert fingerprint() == first
    (folder / "prints/build.py").write_text("EDITED = 1\n" + (folder / "prints/build.py").read_text())
    second = fingerprint()
    (folder / "prints/helper.py").write_text("")
    assert len({first, second, fingerprint()}) == 3


def test_packages_are_found_without_importing_them() -> None:
    folder = package_folder("xml.dom")
    assert folder is not None
    assert (folder / "minidom.py").is_file()
    assert package_folder("no_such_package") is None


HOOKED = """\
[hooks]
modules = ["{package}.hooks"]
"""


def test_hooks_are_imported_when_asked_for(write_plugin: Write) -> None:
    hooks = (
        "from lasar_kit.hookspecs import hookimpl\nseen = []\n"
        "@hookimpl\ndef lasar_run_start(run):\n    seen.append(run)\n"
    )
    catalogue = Catalogue.discover([write_plugin("hooked", registry=HOOKED, hooks=hooks)])
    catalogue.entries()
    assert "hooked.hooks" not in sys.modules
    catalogue.load_hooks()
    catalogue.load_hooks()
    catalogue.hooks.hook.lasar_run_start(run="the run")
    assert sys.modules["hooked.hooks"].seen == ["the run"]


def test_hooks_may_bring_components(write_plugin: Write) -> None:
    hooks = (
        "from lasar_kit.catalogue.registry import Entry\nfrom lasar_kit.hookspecs import hookimpl\n"
        "@hookimpl\n"
        "def lasar_components():\n"
        "    entry = Entry('quantizer', 'made', 'Made.', 'me', 'brings.config:Config', 'brings.build:C')\n"
        "    return [entry, Entry('quantiser', 'x', 'X.', 'me', 'a:B', 'a:B')]\n"
    )
    catalogue = Catalogue.discover([write_plugin("brings", registry=HOOKED, hooks=hooks)])
    assert catalogue.config_class("quantizer", "made").__module__ == "brings.config"
    assert "unknown kind 'quantiser'" in catalogue.problems["me"][0]
    assert "x" not in {entry.name for entry in catalogue.entries()}


WRONG_HOOKS = [
    ("@hookimpl\ndef lasar_run_start(rum): ...", "rum"),
    ("@hookimpl\ndef lasar_run_begin(run): ...", "unknown hook 'lasar_run_begin'"),
    ("raise RuntimeError('no')", "RuntimeError: no"),
    ("@hookimpl\ndef lasar_components(): return 1 / 0", "lasar_components: ZeroDivisionError"),
    ("@hookimpl\ndef lasar_components(): return [3]", "lasar_components: AttributeError"),
]


@pytest.mark.parametrize(("body", "cause"), WRONG_HOOKS)
def test_wrong_hooks_of_a_folder_end_what_needs_hooks(write_plugin: Write, body: str, cause: str) -> None:
    package = f"wrong_{abs(hash(body))}"
    hooks = f"from lasar_kit.hookspecs import hookimpl\n{body}\n"
    folder = write_plugin(package, registry=HOOKED, hooks=hooks)
    catalogue = Catalogue.discover([folder])
    for _ in range(2):
        with pytest.raises(UserError) as caught:
            catalogue.load_hooks()
        assert len(caught.value.lines) == 1
        assert caught.value.lines[0].startswith(f"plugin {folder}: hooks of {package}.hooks: ")
        assert cause in str(caught.value)
    with pytest.raises(UserError, match="unknown quantizer"):
        catalogue.get("quantizer", "nothing")
    assert catalogue.get("quantizer", "rq_kmeans")


@pytest.mark.parametrize(("body", "cause"), WRONG_HOOKS)
def test_wrong_hooks_of_an_installed_plugin_leave_the_others(
    write_plugin: Write, monkeypatch: pytest.MonkeyPatch, body: str, cause: str
) -> None:
    good = "from lasar_kit.hookspecs import hookimpl\n@hookimpl\ndef lasar_run_start(run): run.append(1)\n"
    bad = f"from lasar_kit.hookspecs import hookimpl\n{body}\n"
    names = [f"good_{abs(hash(body))}", f"bad_{abs(hash(body))}"]
    for name, hooks in zip(names, (good, bad), strict=True):
        folder = write_plugin(name, registry=HOOKED, hooks=hooks)
        (folder / "registry.toml").rename(folder / name / "registry.toml")
        sys.path.append(str(folder))
    monkeypatch.setattr(
        "lasar_kit.catalogue.catalogue.installed_packages", lambda: {f"dist:{n}": n for n in names}
    )
    catalogue = Catalogue.discover()
    catalogue.load_hooks()
    run: list[int] = []
    catalogue.hooks.hook.lasar_run_start(run=run)
    assert run == [1]
    assert list(catalogue.problems) == [f"dist:{names[1]}"]
    (problem,) = catalogue.problems[f"dist:{names[1]}"]
    assert cause in problem
