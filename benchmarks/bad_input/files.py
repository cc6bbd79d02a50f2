"""Wrong data files: what may be the matter with those of every format."""

from __future__ import annotations

import io
import json
from importlib.util import find_spec
from typing import Any

import numpy as np
from hypothesis import strategies as st
from safetensors.numpy import save

from bad_input.formats import FORMATS, TITLES, sound_interactions, sound_items
from bad_input.harness import OUTPUT, Case, Files, spec_file

Expect = Any

SOUND_TOKENIZE = {"use": "tokenize", "quantizer": {"use": "rq_kmeans", "levels": 3, "codes": 4}}

_ODD: list[Any] = [
    None,
    "",
    " ",
    True,
    -1,
    2.5,
    10**30,
    1e400,
    float("nan"),
    "nan",
    "inf",
    "x" * 5000,
    [],
    [1],
    {},
    {"a": 1},
    "\ud800",
    "\x00",
    "a\nb",
    'a"b',
    "a,b",
    "a\tb",
    "<a_0>",
    "=1+1",
    "i-1",
    "2020-13-45",
    "ü" * 3,
]


def _run(
    group: str, label: str, files: Files, dataset: Any, expect: Expect, tokenize: Any = None, note: str = ""
) -> Case:
    spec = {"dataset": dataset, "stages": {"tokenize": tokenize or SOUND_TOKENIZE}}
    return Case(
        group,
        label,
        ("run", "s.yaml", "--output", OUTPUT),
        {**files, "s.yaml": spec_file(spec)},
        expect,
        note=note,
    )


def bytes_changed(draw: st.DrawFn, data: bytes, label: str) -> tuple[bytes, Expect]:
    """The bytes of a file with one of the faults that any file may have, and what must come of it."""
    place = draw(st.integers(0, max(len(data) - 1, 0)))
    if label == "empty":
        return draw(st.sampled_from([b"", b"\n", b"  \n\n", b"\xef\xbb\xbf", b"\r\n"])), "refused"
    if label == "truncated":
        return data[:place], "either"  # at the end of a line it is a smaller file
    if label == "not UTF-8":
        return data[:place] + draw(st.sampled_from([b"\xff", b"\xe9", b"\xc3\x28", b"\xed\xa0\x80"])) + data[
            place:
        ], "refused"
    if label == "huge line":
        return data[:place] + b"x" * draw(st.sampled_from([2**20, 2**22])) + data[place:], "either"
    assert label == "damaged"
    for _ in range(draw(st.integers(1, 6))):
        byte = draw(
            st.sampled_from(
                [b"\x00", b"\n", b'"', b"{", b"}", b",", b"\x1f\x8b", b"\t", b":", b"-", b"9", b"\\"]
            )
        )
        place = draw(st.integers(0, len(data)))
        data = data[:place] + byte + data[place + draw(st.integers(0, 3)) :]
    if draw(st.booleans()) and draw(st.booleans()):
        data = b"\x1f\x8b" + data
    return data, "either"


BYTE_FAULTS = ("empty", "truncated", "not UTF-8", "huge line", "damaged")


@st.composite
def wrong_bytes(draw: st.DrawFn, label: str) -> Case:
    """A file of any data set that is broken as a file."""
    group = draw(st.sampled_from(sorted(FORMATS)))
    files, dataset = FORMATS[group](sound_interactions(), sound_items())
    name = draw(st.sampled_from(sorted(files)))
    files[name], expect = bytes_changed(draw, files[name], label)
    if group == "parquet" and label == "not UTF-8":
        expect = "either"  # bytes of a binary file
    return _run(group, label, files, dataset, expect, note=name)


@st.composite
def wrong_rows(draw: st.DrawFn, label: str) -> Case:
    """Files that are sound as files, and whose rows are not."""
    group = draw(st.sampled_from(sorted(FORMATS)))
    interactions, items, expect = sound_interactions(), sound_items(), "refused"
    row = draw(st.integers(0, len(items) - 1))
    if label == "duplicate ids":
        items.append(dict(items[row]))
        # The first of two counts in the Amazon dumps, which hold such pairs.
        expect = "accepted" if group.startswith("amazon") else "refused"
    elif label == "ids out of range":
        interactions[draw(st.integers(0, len(interactions) - 1))]["item"] = draw(
            st.sampled_from(["i8", "i-1", "i999999999", "i" + "9" * 30])
        )
        expect = "accepted" if group.startswith("amazon") else "refused"  # whose items may lack metadata
    elif label == "a user with one item":
        interactions.append({"user": "u6", "item": f"i{row}", "time": 1})
        expect = "accepted"
    elif label == "an item without text":
        for item in items[row:] if draw(st.booleans()) else items:
            item["title"] = draw(st.sampled_from(["", None, " ", "<br>"]))
        expect = "accepted"
    elif label == "too little":
        interactions = draw(st.sampled_from([interactions[:2], interactions[:3], interactions[:1]]))
        expect = "accepted" if len(interactions) == 3 else "refused"
    else:
        assert label == "odd values"
        table, key = draw(
            st.sampled_from(
                [
                    (interactions, "user"),
                    (interactions, "item"),
                    (interactions, "time"),
                    (items, "item"),
                    (items, "title"),
                ]
            )
        )
        for _ in range(draw(st.integers(1, 3))):
            table[draw(st.integers(0, len(table) - 1))][key] = draw(st.sampled_from(_ODD))
        expect = "either"
    files, dataset = FORMATS[group](interactions, items)
    return _run(group, label, files, dataset, expect)


ROW_FAULTS = (
    "duplicate ids",
    "ids out of range",
    "a user with one item",
    "an item without text",
    "too little",
    "odd values",
)

_IDS = tuple(TITLES)


def _embeddings(rows: int = 8) -> np.ndarray:
    return np.random.default_rng(0).normal(size=(rows, 4)).astype(np.float32)


def _npy(array: np.ndarray, **options: Any) -> bytes:
    file = io.BytesIO()
    np.save(file, array, **options)
    return file.getvalue()


@st.composite
def wrong_embeddings(draw: st.DrawFn) -> Case:
    """Embeddings from a file: of no number, of other items, of another shape, cut off."""
    files, dataset = FORMATS["csv"](sound_interactions(), sound_items())
    array, ids, expect = _embeddings(), [*_IDS], "refused"
    fault = draw(
        st.sampled_from(
            ["NaN", "infinite", "rows", "shape", "type", "ids", "cut", "huge header", "too large"]
        )
    )
    name = draw(st.sampled_from(["e.npy", "e.safetensors"]))
    if fault in ("NaN", "infinite", "too large"):
        array = array.astype(np.float64)
        array[draw(st.integers(0, 7)), 1] = {"NaN": np.nan, "infinite": np.inf, "too large": 1e200}[fault]
    elif fault == "rows":
        array = _embeddings(draw(st.sampled_from([0, 1, 7, 9])))
    elif fault == "shape":
        array = array.reshape(draw(st.sampled_from([(32,), (8, 4, 1), (4, 8), (8, 2, 2)])))
    elif fault == "type":
        name, array = (
            "e.npy",
            draw(
                st.sampled_from([array.astype(complex), array.astype("U8"), array > 0, array.astype(object)])
            ),
        )
    elif fault == "ids":
        ids = draw(st.sampled_from([[*ids[:-1], ids[0]], ids[:-1], [*ids[:-1], "i9"], [], [*ids, "i9"]]))
    data = _npy(array) if name == "e.npy" else save({"e": np.ascontiguousarray(array)})
    if fault == "cut":
        data = data[: draw(st.integers(0, len(data) - 1))]
    elif fault == "huge header":
        name = draw(st.sampled_from(["e.npy", "e.safetensors"]))
        whole = _npy(_embeddings()).replace(b"(8, 4)", b"(8" + b"0" * 9 + b", 4)")
        data = whole if name == "e.npy" else b"\xff" * 6 + b"\x00\x00" + data[8:]
    files |= {name: data, "ids.txt": "\n".join(ids).encode()}
    encoder = {"use": "precomputed", "path": name, "ids": "ids.txt"}
    tokenize = {**SOUND_TOKENIZE, "text_encoder": encoder}
    return _run("precomputed", f"embeddings: {fault}", files, dataset, expect, tokenize)


@st.composite
def wrong_index(draw: st.DrawFn) -> Case:
    """Semantic IDs from a file: of more items, twice, of another depth, beyond the codes."""
    files, dataset = FORMATS["csv"](sound_interactions(), sound_items())
    rows: list[tuple[str, Any]] = [(item, [f"<a_{n % 4}>", f"<b_{n // 4}>"]) for n, item in enumerate(_IDS)]
    fault, place = (
        draw(
            st.sampled_from(
                [
                    "tokens",
                    "duplicate ids",
                    "ids out of range",
                    "codes out of range",
                    "item left out",
                    *BYTE_FAULTS,
                ]
            )
        ),
        draw(st.integers(0, 7)),
    )
    options: dict[str, Any] = {}
    expect: Expect = "refused"
    if fault == "tokens":
        odd = [
            [],
            ["<a_0>"],
            ["<a_0>", "<c_0>"],
            ["<a_01>", "<b_0>"],
            ["<a_0>", 3],
            "<a_0><b_0>",
            None,
            {"a": 1},
            ["<a_0>"] * 40,
            [["<a_0>"]],
        ]
        rows[place] = (rows[place][0], draw(st.sampled_from(odd)))
    elif fault == "duplicate ids":
        rows.append(rows[place])
    elif fault == "ids out of range":
        rows.append((draw(st.sampled_from(["i8", "", "zzz"])), ["<a_0>", "<b_9>"]))
        expect = "accepted"  # an index may be of more items than the catalogue
    elif fault == "item left out":
        rows.pop(place)
    elif fault == "codes out of range":
        rows[place] = (rows[place][0], [f"<a_{draw(st.sampled_from([4, 99, 999999999, 10**12]))}>", "<b_0>"])
        options = {"codes": 4}
    data = ("{" + ", ".join(f"{json.dumps(key)}: {json.dumps(value)}" for key, value in rows) + "}").encode()
    if fault in BYTE_FAULTS:
        data, expect = bytes_changed(draw, data, fault)
    tokenize = {"use": "tokenize", "quantizer": {"use": "from_index", "path": "x.json", **options}}
    return _run("from_index", f"index: {fault}", {**files, "x.json": data}, dataset, expect, tokenize)


@st.composite
def few_items(draw: st.DrawFn) -> Case:
    """Fewer items than codes is sound; more items than SIDs is a mistake, unless they may share."""
    files, dataset = FORMATS["csv"](sound_interactions(), sound_items())
    levels, codes = draw(
        st.sampled_from([(1, 2), (1, 7), (1, 8), (2, 2), (2, 64), (3, 256), (4, 1), (1, 4096)])
    )
    collision = draw(st.sampled_from(["reassign", "suffix", "allow"]))
    quantizer = {"use": "rq_kmeans", "levels": levels, "codes": codes}
    if find_spec("k_means_constrained") and draw(st.booleans()):
        quantizer["balanced"] = True
    expect = "refused" if collision == "reassign" and codes**levels < len(_IDS) else "accepted"
    tokenize = {"use": "tokenize", "collision": collision, "quantizer": quantizer}
    return _run(
        "rq_kmeans",
        "fewer items than codes",
        files,
        dataset,
        expect,
        tokenize,
        f"{levels} x {codes} {collision}",
    )
