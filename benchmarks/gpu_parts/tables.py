"""Tables of what a file of results holds, one or more a part."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from report import Shown, markdown

Line = Mapping[str, Any]
Column = tuple[str, Callable[[Line], str]]
"""A header, and what stands below it."""


def text(lines: Sequence[Line], parts: str = "abcdefgh") -> str:
    """The tables of some parts as markdown; below each what failed and what was skipped."""
    found = [part_text(part, [line for line in lines if line["part"] == part]) for part in parts]
    return "\n\n".join(one for one in found if one)


def part_text(part: str, lines: Sequence[Line]) -> str:
    """One part's device, table, errors and skipped lines; nothing where it has no line."""
    if not lines:
        return ""
    done = [line for line in lines if not {"error", "skipped", "gpu", "given"} & line.keys()]
    device = next((line for line in lines if "gpu" in line), None)
    head = f"Part {part}" if device is None else f"Part {part}, {_device(device)}"
    ended = next((line for line in lines if "given" in line), None)
    head += "." if ended is None else f"; {ended['seconds']:.0f} s."
    tables = [table for table in TABLES[part](done) if table[1]]
    notes = [f"- Failed: {line['name']}: {line['error']}" for line in lines if "error" in line]
    if late := [line["name"] for line in lines if "skipped" in line]:
        notes.append(f"- Not reached: {', '.join(late)}.")
    return markdown(head, tables) + ("\n\n" + "\n".join(notes) if notes else "")


def _device(line: Line) -> str:
    return (
        f"{line['gpu']}, torch {line['torch']}, transformers {line['transformers']}, Python {line['python']}"
    )


def rows(lines: Sequence[Line], columns: Sequence[Column]) -> Shown:
    """A row a line; a number that a line lacks is a dash."""
    shown = [[_cell(make, line) for _, make in columns] for line in lines]
    return [header for header, _ in columns], shown


def _cell(make: Callable[[Line], str], line: Line) -> str:
    try:
        return make(line)
    except KeyError:
        return "-"


def key(name: str, shape: str = "{:.4g}") -> Callable[[Line], str]:
    """A number of a line, written so; `a/b` is b within a."""

    def make(line: Line) -> str:
        value: Any = line
        for step in name.split("/"):
            value = value[step]
        return shape.format(value)

    return make


def verdict(line: Line) -> str:
    """Whether a check passed, where it is one."""
    return {True: "yes", False: "**no**"}[line["passed"]]


NAME: Column = ("", key("name", "{}"))
MEMORY: Column = ("peak GiB", key("peak_gib", "{:.1f}"))


def correct(lines: Sequence[Line]) -> list[Shown]:
    """Float32 and bf16 apart."""
    columns: list[Column] = [
        ("", lambda line: str(line["name"]).rsplit(" ", 1)[0]),
        ("gap", key("gap", "{:.1e}")),
        ("gap of gradients", key("gradient_gap", "{:.1e}")),
        ("same items", key("same_items", "{:.0%}")),
        ("passed", verdict),
    ]
    found = []
    for precision in ("fp32", "bf16"):
        header, shown = rows([line for line in lines if line["name"].endswith(precision)], columns)
        found.append(([precision, *header[1:]], shown))
    return found


def runs(lines: Sequence[Line]) -> list[Shown]:
    """Runs, and which of them left the same bits."""
    columns: list[Column] = [
        ("run", key("name", "{}")),
        ("NDCG@10", key("ndcg@10")),
        ("of random lists", key("random")),
        ("updates", key("updates", "{}")),
        ("s", key("took", "{:.0f}")),
        ("passed", verdict),
    ]
    bits = [
        [pair, "yes" if same else "**no**"]
        for line in lines
        if line["name"] == "same bits"
        for pair, same in line.items()
        if pair not in ("part", "name", "passed")
    ]
    return [
        rows([line for line in lines if line["name"] != "same bits"], columns),
        (["two runs", "same bits"], bits),
    ]


def train(lines: Sequence[Line]) -> list[Shown]:
    """Updates, and what thoughts cost them."""
    columns: list[Column] = [
        NAME,
        ("tokens/s", key("tokens_per_second", "{:,.0f}")),
        ("ms", key("ms", "{:.0f}")),
        ("TFLOP/s", key("tflops", "{:.0f}")),
        ("of the peak", key("share_of_peak", "{:.1%}")),
        MEMORY,
    ]
    thoughts: list[Column] = [
        NAME,
        ("prompts", key("prompts", "{}")),
        ("ms, no thoughts", key("ms none", "{:.0f}")),
        ("ms, four thoughts", key("ms coconut", "{:.0f}")),
        ("ratio", key("ratio", "{:.2f}")),
    ]
    plain = [line for line in lines if "ratio" not in line]
    return [rows(plain, columns), rows([line for line in lines if "ratio" in line], thoughts)]


def decode(lines: Sequence[Line]) -> list[Shown]:
    """Both scores and `generate`, a batch a row."""
    known = {line["name"]: line for line in lines}
    both = [
        {**line, "theirs": known[f"{name} generate"]} if f"{name} generate" in known else line
        for name, line in known.items()
        if "over_prefill" in line
    ]

    def ratio(score: str) -> Callable[[Line], str]:
        return lambda line: f"{line['theirs']['ms'] / line['ms'][score]:.1f}"

    columns: list[Column] = [
        NAME,
        ("prefill, ms", key("ms/prefill", "{:.0f}")),
        ("vocabulary, ms", key("ms/vocabulary", "{:.0f}")),
        ("trie, ms", key("ms/trie", "{:.0f}")),
        ("generate, ms", key("theirs/ms", "{:.0f}")),
        ("users/s, vocabulary", key("users_per_second", "{:.0f}")),
        ("users/s, generate", key("theirs/users_per_second", "{:.0f}")),
        ("generate / vocabulary", ratio("vocabulary")),
        ("generate / trie", ratio("trie")),
        MEMORY,
    ]
    same: list[Column] = [NAME, ("same items", key("same_items", "{:.0%}")), ("gap", key("gap", "{:.1e}"))]
    return [rows(both, columns), rows([line for line in lines if "same_items" in line], same)]


def think(lines: Sequence[Line]) -> list[Shown]:
    """Depths, and written text."""

    def cost(depth: str) -> Callable[[Line], str]:
        return lambda line: f"{line['ms'][depth]:.0f} (+{line['overhead'][depth]:.0%})"

    depths: list[Column] = [("N = 0, ms", key("ms/0", "{:.0f}"))]
    depths += [(f"N = {depth}", cost(depth)) for depth in ("1", "2.5", "4", "8")]
    written: list[Column] = [
        NAME,
        ("ms", key("ms", "{:.0f}")),
        ("of thoughts", key("over_thoughts", "{:.1f}")),
        ("of thoughts, before the answer", key("over_thoughts_before_the_answer", "{:.1f}")),
    ]
    return [
        rows([line for line in lines if "overhead" in line], [NAME, *depths]),
        rows([line for line in lines if "over_thoughts" in line], written),
    ]


def rl(lines: Sequence[Line]) -> list[Shown]:
    """Rollouts and updates."""
    columns: list[Column] = [
        NAME,
        ("candidates", key("candidates", "{}")),
        ("rollout, ms", key("rollout_ms", "{:.0f}")),
        ("update, ms", key("update_ms", "{:.0f}")),
        ("prompts/s", key("prompts_per_second", "{:.0f}")),
        MEMORY,
    ]
    return [rows(lines, columns)]


def profile(lines: Sequence[Line]) -> list[Shown]:
    """How busy the device is, and how often it is waited for."""
    columns: list[Column] = [
        NAME,
        ("ms", key("ms", "{:.0f}")),
        ("busy", key("busy", "{:.0%}")),
        ("kernels", key("launches", "{}")),
        ("synchronisations", key("synchronisations", "{}")),
    ]
    return [rows(lines, columns)]


def laws(lines: Sequence[Line]) -> list[Shown]:
    """Components, and the checks that they broke."""
    columns: list[Column] = [
        ("", lambda line: str(line["name"]).removeprefix("contract ")),
        ("checks", key("checks", "{}")),
        ("broken", lambda line: ", ".join(one.split(":")[0] for one in line.get("broken", [])) or "none"),
    ]
    return [rows(lines, columns)]


TABLES: dict[str, Callable[[Sequence[Line]], list[Shown]]] = {
    "a": correct,
    "b": runs,
    "c": train,
    "d": decode,
    "e": think,
    "f": rl,
    "g": profile,
    "h": laws,
}
