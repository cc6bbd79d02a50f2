"""Wrong command lines, specs that are wrong as files, and runs whose files were damaged."""

from __future__ import annotations

import copy
import io
import json
import shutil
from pathlib import Path

import polars as pl
from hypothesis import strategies as st

from bad_input.files import BYTE_FAULTS, bytes_changed
from bad_input.harness import OUTPUT, Case, Files, call, spec_file
from bad_input.options import BASE

_SOUND = spec_file({"stages": {"tokenize": {"use": "tokenize"}}})
_DEEP = 20_000

_SPEC_FILES: dict[str, bytes] = {
    "empty": b"",
    "blank": b"\n \n# nothing\n",
    "NUL": b"name: a\0b\n",
    "NUL as an escape": b'name: "a\\0b"\n' + _SOUND,
    "UTF-16": "name: a\n".encode("utf-16"),
    "Latin-1": "name: M\u00fcller\n".encode("latin-1"),
    "control characters": b"name: \x1b[31m\n",
    "anchors that multiply": b"a: &a [x, x]\n"
    + b"".join(b"%c: &%c [*%c, *%c]\n" % (98 + n, 98 + n, 97 + n, 97 + n) for n in range(20)),
    "an alias of itself": b"a: &a [*a]\n",
    "merge keys": b"stages:\n  <<: {a: 1}\n",
    "tags": b"name: !!python/object/apply:os.system [true]\n",
    "nested lists": b"stages: " + b"[" * _DEEP + b"]" * _DEEP,
    "nested tables": b"stages: " + b"{a: " * _DEEP + b"1" + b"}" * _DEEP,
    "nested 90 deep": b"stages: " + b"{a: " * 90 + b"1" + b"}" * 90 + b"\n",
    "nested blocks": b"".join(b" " * n + b"a:\n" for n in range(900)),
    "two documents": _SOUND + b"---\n" + _SOUND,
    "a list": b"- a\n- b\n",
    "a text": b"stages",
    "a key twice": _SOUND + _SOUND,
    "tabs": b"stages:\n\ttokenize: tokenize\n",
    "not closed": b"stages: {tokenize: {use: tokenize\n",
    "a key that is a list": b"? [a, b]\n: 1\n",
    "a long integer": b"seed: " + b"9" * 100_000 + b"\n" + _SOUND,
    "a long hexadecimal": b"seed: 0x" + b"f" * 50_000 + b"\n" + _SOUND,
    "a long text": b"name: " + b"x" * 500_000 + b"\n" + _SOUND,
    "a long key": b"x" * 900 + b": 1\n" + _SOUND,
    "gzip": b"\x1f\x8b\x08\x00" + bytes(40),
    "extends nothing": b"extends: gone.yaml\n",
    "extends itself": b"extends: s.yaml\n",
    "extends a folder": b"extends: .\n",
    "extends a list": b"extends: [a, b]\n",
    "extends NUL": b'extends: "a\\0b"\n',
    "extends a long name": b"extends: " + b"x" * 5000 + b"\n",
    "no home": b"dataset: {use: lcrec, path: ~nobody-of-this-name/x}\n" + _SOUND,
    "a path with NUL": b'dataset: {use: lcrec, path: "a\\0b"}\n' + _SOUND,
    "half a pair": b'dataset: {use: lcrec, path: "a\\ud800b"}\n' + _SOUND,
    "a path in /proc": b"dataset: {use: csv, interactions: /proc/self/mem}\n" + _SOUND,
    "a path that is a device": b"dataset: {use: csv, interactions: /dev/zero}\n" + _SOUND,
}
"""Files that are no spec; nothing may read them."""


@st.composite
def spec_files(draw: st.DrawFn) -> Case:
    note = draw(st.sampled_from(sorted(_SPEC_FILES)))
    arguments = ("run", "s.yaml", "--output", OUTPUT)
    return Case("spec", "no spec at all", arguments, {"s.yaml": _SPEC_FILES[note]}, note=note)


@st.composite
def large_spec(draw: st.DrawFn) -> Case:
    line = draw(st.sampled_from([b"# nothing\n", b"a: 1\n", b"- [", b"*a ", b"&", b"\xff", b"\n", b'"']))
    data = line * (100 * 2**20 // len(line))
    return Case("spec", "100 MB", ("check", "s.yaml"), {"s.yaml": data})


@st.composite
def overrides(draw: st.DrawFn) -> Case:
    """`--set` of anything."""
    text = draw(
        st.one_of(
            st.text(max_size=20),
            st.sampled_from(
                [
                    "=",
                    "a",
                    "a=",
                    "=b",
                    "..=1",
                    "a..b=1",
                    "stages=3",
                    "stages.x=tokenize",
                    "name=../x",
                    "seed=-1",
                    "name.x=1",
                    "seed=&a 1",
                    "seed=*a",
                    "seed=!!int 1",
                    "seed={",
                    "seed=[1",
                    "seed=1\n2",
                    "stages={}",
                    "seed=" + "9" * 6000,
                    "dataset.path=\x00",
                    "extends=x",
                    "stages=",
                    "stages.tokenize=",
                ]
            ),
        ).filter(lambda text: "\0" not in text)  # which no command line can hold
    )
    return Case(
        "command", "--set", ("check", "s.yaml", "--set", text), {"s.yaml": _SOUND}, "either", note=repr(text)
    )


_ARGUMENTS: list[tuple[str, ...]] = [
    ("run", "gone.yaml"),
    ("run", "."),
    ("run", ""),
    ("run", "x" * 5000),
    ("run", "s.yaml/x"),
    ("check", "gone.yaml"),
    ("run", "s.yaml", "--output", "s.yaml"),
    ("run", "s.yaml", "--output", "s.yaml/x"),
    ("run", "s.yaml", "--output", "/proc/nothing"),
    ("run", "s.yaml", "--output", "x" * 300),
    ("run", "s.yaml", "--output", "/dev/null"),
    ("run", "s.yaml", "--output", "."),
    ("run", "s.yaml", "--output", ""),
    ("run", "s.yaml", "--output", "full"),
    ("run", "s.yaml", "--dry-run", "--output", "s.yaml"),
    ("run", "s.yaml", "--plugin", "gone"),
    ("run", "s.yaml", "--plugin", "s.yaml"),
    ("run", "s.yaml", "--nope"),
    ("run", "s.yaml", "--processes", "0"),
    ("run", "s.yaml", "--processes", "x"),
    ("run",),
    ("nope",),
    ("run", "s.yaml", "y"),
    ("recommend", "gone", "--history", "a"),
    ("recommend", "s.yaml", "--history", "a"),
    ("recommend", "full", "--history", "a"),
    ("recommend", "gone"),
    ("recommend", "gone", "--history", ""),
    ("recommend", "gone", "--history", ","),
    ("recommend", "gone", "--history", "a", "-k", "-1"),
    ("recommend", "gone", "--history", "a", "-k", "x"),
    ("recommend", "gone"),
    ("recommend", "gone", "--histories", "gone"),
    ("recommend", "gone", "--histories", "full/model/weights"),
    ("recommend", "gone", "--history", "a", "--histories", "s.yaml"),
    ("compare",),
    ("compare", "gone"),
    ("compare", "gone", "gone"),
    ("compare", "s.yaml", "full"),
    ("report", "gone"),
    ("report", "s.yaml"),
    ("report", "full"),
    ("report", ""),
    ("plugins", "show", "nope", "x"),
    ("plugins", "list", "nope"),
    ("plugins", "show", "quantizer", "../x"),
    ("plugins", "check", "quantizer", "nope"),
    ("schema", "--plugin", "gone"),
    ("plugins", "new", "quantizer", "../x"),
    ("plugins", "new", "quantizer", "a-b"),
    ("plugins", "new", "nope", "x"),
    ("plugins", "new", "quantizer", "x", "--output", "full"),
]


@st.composite
def arguments(draw: st.DrawFn) -> Case:
    given = draw(st.sampled_from(_ARGUMENTS))
    files = {"s.yaml": _SOUND, "full/notes.txt": b"mine", "full/model/weights": b"mine"}
    return Case("command", "arguments", given, files, note=" ".join(given)[:80])


def finished_run(folder: Path) -> Files:
    """The files of a finished run of tokenize, sft and evaluate."""
    spec = copy.deepcopy(BASE)
    spec["stages"] = {name: spec["stages"][name] for name in ("tokenize", "ground", "evaluate")}
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "s.yaml").write_bytes(spec_file(spec))
    said = call(("run", "s.yaml", "--output", "run"), folder, 600)
    assert said.code == 0, said
    found = {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}
    shutil.rmtree(folder)
    return {name: data for name, data in found.items() if not name.endswith("s.yaml")}


@st.composite
def damaged_runs(draw: st.DrawFn, run: Files) -> Case:
    """A run with one of its files empty, cut off, changed, or gone."""
    command: tuple[str, ...] = draw(
        st.sampled_from(
            [("recommend", "run", "--history", "ITEM"), ("compare", "run", "other"), ("report", "run")]
        )
    )
    command = tuple(draw(st.sampled_from(_items_of(run))) if part == "ITEM" else part for part in command)
    name = draw(st.sampled_from(sorted(run)))
    data, fault = (
        run[name],
        draw(st.sampled_from(["gone", "empty", "cut", "changed", "other JSON", "not UTF-8"])),
    )
    place = draw(st.integers(0, max(len(data) - 1, 0)))
    files = dict(run)
    if fault == "gone":
        del files[name]
    elif fault == "empty":
        files[name] = b""
    elif fault == "cut":
        files[name] = data[:place]
    elif fault == "changed":
        # As many bytes as before, near the start, where headers are, as often as anywhere.
        place = draw(st.sampled_from([place, min(place, 64)]))
        files[name] = data[:place] + b"\x07" * len(data[place : place + 9]) + data[place + 9 :]
    elif fault == "other JSON":
        files[name] = draw(
            st.sampled_from(
                [b"[]\n", b"{}\n", b"null\n", b'"x"\n', b'{"a": 1}\n', b"[1, null]\n", b'{"evaluate": 3}\n']
            )
        )
    else:
        files[name] = data[:place] + b"\xff" + data[place + 1 :]
    if command[0] == "compare":
        files |= {f"other/{key.removeprefix('run/')}": value for key, value in run.items()}
    return Case(
        "run", f"damaged run, {command[0]}", command, files, "either", note=f"{name} {fault} at {place}"
    )


@st.composite
def wrong_texts(draw: st.DrawFn, run: Files) -> Case:
    """A teacher's texts from a file, behind stages that are done."""
    users = pl.read_parquet(io.BytesIO(run["run/stages/dataset/users.parquet"]))["id"].to_list()
    rows = [
        {"user": user, "end": end, "text": "Step 1: soap. Step 2: more."}
        for user in users
        for end in range(1, 4)
    ]
    fault = draw(
        st.sampled_from(
            ["odd values", "duplicate ids", "unknown key", "key left out", "no text", *BYTE_FAULTS]
        )
    )
    place, expect = draw(st.integers(0, len(rows) - 1)), "refused"
    odd = {"user": [3, None, []], "end": [0, -1, True, "1", 2.5, None], "text": [3, [], {}]}
    key = draw(st.sampled_from(sorted(odd)))
    if fault == "odd values":
        rows[place][key] = draw(st.sampled_from(odd[key]))
    elif fault == "duplicate ids":
        rows.append(rows[place])
    elif fault == "unknown key":
        rows[place]["texte"] = "x"
    elif fault == "key left out":
        del rows[place][key]
    elif fault == "no text":
        rows[place]["text"], expect = draw(st.sampled_from(["", " ", "\n", None])), "accepted"
    data = "".join(json.dumps(row) + "\n" for row in rows).encode()
    if fault in BYTE_FAULTS:
        data, expect = bytes_changed(draw, data, fault)
    spec = copy.deepcopy(BASE)
    spec["stages"] = {name: spec["stages"][name] for name in ("tokenize", "ground")}
    spec["stages"]["anchors"] = {
        "use": "anchors",
        "max_samples": 20,
        "teacher": {"use": "jsonl", "path": "t.jsonl"},
    }
    files = {**run, "t.jsonl": data, "s.yaml": spec_file(spec)}
    if expect == "accepted":
        expect = "either"  # the 20 that are drawn may all lack texts
    return Case("teacher jsonl", f"texts: {fault}", ("run", "s.yaml", "--output", OUTPUT), files, expect)


def _items_of(run: Files) -> list[str]:
    """Two items that there are, and one that is nearly one."""
    known = sorted(json.loads(run["run/stages/tokenize/index.json"]))
    return [known[0], f"{known[0]},{known[1]}", known[0] + "x", "\u202e", "x" * 3000]
