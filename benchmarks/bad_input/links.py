"""Symbolic links in the folder of a run, where it would write or put something in place."""

from __future__ import annotations

import copy

from hypothesis import strategies as st

from bad_input.harness import OUTPUT, Case, Files, spec_file
from bad_input.options import BASE

_THROUGH = (
    "stages",
    "tracking",
    ".lock",
    ".model.partial",
    ".spec.lock.yaml.partial",
    ".metrics.json.partial",
    "stages/.tokenize.partial",
    "stages/.tokenize.old",
    "stages/.ground.work",
)
"""Of a run's folder: where it would write into what a link leads to."""

_REPLACED = (
    "spec.lock.yaml",
    "log.jsonl",
    "metrics.json",
    "predictions.jsonl",
    "model",
    "stages/dataset",
    "stages/tokenize",
    "stages/ground",
)
"""Paths that a run puts in the place of whatever is there."""

_TARGETS = {"a folder": "beside/folder", "a file": "beside/file", "nothing": "beside/none", "itself": ""}


@st.composite
def links(draw: st.DrawFn) -> Case:
    """A link in the folder of a run; or the folder itself, which may be one to the folder of a run."""
    kind = draw(st.sampled_from(sorted(_TARGETS)))
    within = draw(st.sampled_from(["", *_THROUGH, *_REPLACED]))
    place = f"{OUTPUT}/{within}".rstrip("/")
    spec = copy.deepcopy(BASE)
    spec["stages"] = {name: spec["stages"][name] for name in ("tokenize", "ground", "evaluate")}
    lock = {f"{OUTPUT}/spec.lock.yaml": b"name: x\n"} if within not in ("", "spec.lock.yaml") else {}
    files: Files = {"beside/file": b"{}\n", "beside/folder/spec.lock.yaml": b"name: x\n", **lock}
    # From the folder of the link; one to itself is named as itself.
    target = "../" * place.count("/") + _TARGETS[kind] if _TARGETS[kind] else place.rpartition("/")[2]
    sound = within in _REPLACED or (within == "" and kind == "a folder")
    return Case(
        "symbolic links",
        "the folder of a run" if not within else "replaced" if sound else "written through",
        ("run", "s.yaml", "--output", OUTPUT),
        {"s.yaml": spec_file(spec), **files},
        "accepted" if sound else "refused",
        () if sound else (f"--output {OUTPUT}", *([within] if within not in ("", ".lock") else [])),
        f"{place} to {kind}",
        links={place: target},
    )
