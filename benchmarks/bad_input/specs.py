"""Wrong specs: every kind of mistake at every option of every component."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

from hypothesis import strategies as st

from bad_input.harness import OUTPUT, Case, spec_file
from bad_input.options import BASE, Option, Options, beyond, choices, put, spec_with
from lasar_kit.spec.messages import dotted

_WRONG: list[Any] = [
    None,
    True,
    False,
    0,
    1,
    -1,
    3,
    2.5,
    -0.5,
    2**70,
    10**60,
    1e308,
    float("nan"),
    float("inf"),
    -float("inf"),
    "",
    " ",
    "1",
    "nope",
    "../../up",
    "/",
    "~",
    "\x00",
    "\ud800",
    "ü\u202e",
    "x" * 3000,
    "a: b",
    "null",
    [],
    [1],
    [None],
    ["x", {}],
    ["0.5", "0.5"],
    [True, False],
    [[[[]]]],
    {},
    {"a": 1},
    {"use": "nope"},
    {"use": None},
    {"use": 3},
]


def _case(options: Options, option: Option, value: Any, label: str, skip: bool = False) -> Case:
    spec = spec_with(options, option, value, skip)
    wrong = skip or not options.fits(option.schema, value)
    where = dotted(option.place)
    return Case(
        "spec",
        label,
        ("run", "s.yaml", "--output", OUTPUT) if wrong else ("check", "s.yaml"),
        {"s.yaml": spec_file(spec)},
        "refused" if wrong else "either",
        (where,) if wrong else (),
        f"{option.component} {where} = {value!r:.60}",
    )


def _misspelt(name: str) -> str:
    return name[:-1] + ("y" if name[-1:] != "y" else "z") + name[-1:] if len(name) > 3 else name + "qq"


@st.composite
def wrong_types(draw: st.DrawFn, options: Options) -> Case:
    option = draw(st.sampled_from(options.found))
    return _case(options, option, draw(st.sampled_from(_WRONG)), "wrong type or value")


@st.composite
def out_of_range(draw: st.DrawFn, options: Options) -> Case:
    option = draw(st.sampled_from(options.with_bounds()))
    far = draw(st.sampled_from([1, 10, 10**12]))
    value = draw(st.sampled_from(sorted(beyond(option.schema))))
    return _case(options, option, value if far == 1 else value * far if value < 0 else value, "out of range")


@st.composite
def unknown_names(draw: st.DrawFn, options: Options) -> Case:
    option = draw(st.sampled_from(options.with_names()))
    name = _misspelt(draw(st.sampled_from(choices(options.root, option.schema))))
    return _case(options, option, name, "unknown name")


@st.composite
def unknown_options(draw: st.DrawFn, options: Options) -> Case:
    option = draw(st.sampled_from(options.found))
    key = (*option.place[:-1], _misspelt(str(option.key[-1])))
    spec = spec_with(options, option, None, skip=option.component != "run")
    put(spec, key, 1)
    arguments = ("run", "s.yaml", "--output", OUTPUT)
    return Case("spec", "unknown option", arguments, {"s.yaml": spec_file(spec)}, "refused", (dotted(key),))


@st.composite
def left_out(draw: st.DrawFn, options: Options) -> Case:
    needed = [o for o in options.found if o.required and len(o.key) == 1 and o.component != "run"]
    return _case(options, draw(st.sampled_from(needed)), None, "option left out", skip=True)


@st.composite
def missing_files(draw: st.DrawFn, options: Options) -> Case:
    """A path that leads nowhere stops a run before it begins."""
    read = [option for option in options.paths() if option.key != ("cache",)]  # which is written, not read
    option = draw(st.sampled_from(read))
    name = draw(st.sampled_from(["none.json", "no/where.csv", "../gone", "s.yaml/below", "n" * 300, "a\nb"]))
    spec = spec_with(options, option, name)
    arguments = ("run", "s.yaml", "--output", OUTPUT)
    where = dotted(option.place)
    return Case(
        "spec", "missing file", arguments, {"s.yaml": spec_file(spec)}, "refused", (where,), f"{where} {name}"
    )


@st.composite
def names_that_lead_out(draw: st.DrawFn) -> Case:
    """Names of runs and stages become folders."""
    name = draw(
        st.one_of(
            st.sampled_from(
                ["../x", "/tmp/x", "..", ".", ".hidden", "a/b", "a\\b/..", "", "~", "a\nb", "x" * 300]
            ),
            st.text(min_size=1, max_size=8)
            .filter(lambda text: not text.replace(".", "").isalnum())
            .map("/".__add__),
        )
    )
    spec = copy.deepcopy(BASE)
    if draw(st.booleans()):
        spec["name"] = name
    else:
        spec["stages"] = {"tokenize": spec["stages"]["tokenize"], name: {"use": "tokenize"}}
    arguments = ("run", "s.yaml", "--output", OUTPUT)
    return Case("spec", "names as paths", arguments, {"s.yaml": spec_file(spec)}, "refused", note=repr(name))


_OF_TYPE: dict[str, list[Any]] = {
    "null": [None],
    "a truth value": [True],
    "a text": ["\x01 no such value"],
    "a number": [2.5, -(2**70)],
    "a list": [[{"a": []}]],
    "a table": [{"a": {"b": 1}}],
}


def sweep(options: Options) -> Iterator[Case]:
    """Every option of every component, with a value of every type that it does not take.

    A spec holds the wrong values of all options of one component, each of which must be told.
    """
    for component in dict.fromkeys(option.component for option in options.found):
        own = [option for option in options.found if option.component == component]
        for kind, values in _OF_TYPE.items():
            for value in values:
                wrong = [option for option in own if not options.fits(option.schema, value)]
                wrong = [
                    o for o in wrong if not any(o.key[: len(w.key)] == w.key for w in wrong if w is not o)
                ]
                if wrong:
                    yield _sweep_case(options, wrong, value, kind)


def _sweep_case(options: Options, wrong: list[Option], value: Any, kind: str) -> Case:
    spec = spec_with(options, wrong[0], value)
    for option in wrong:
        put(spec, option.place, value)
    names = tuple(f" {dotted(option.place)}" for option in wrong)
    arguments = ("run", "s.yaml", "--output", OUTPUT)
    note = f"{wrong[0].component} = {value!r}"
    return Case(
        "spec", f"every option as {kind}", arguments, {"s.yaml": spec_file(spec)}, "refused", names, note
    )
