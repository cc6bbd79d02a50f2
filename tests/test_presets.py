"""The settings of the paper: the base, its literal reading, and a file for each row of its ablations."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from lasar_kit.catalogue import Catalogue
from lasar_kit.spec import cautions, load_spec

BEAUTY = Path(__file__).resolve().parents[1] / "tutorials" / "beauty"
ABLATIONS = sorted((BEAUTY / "ablations").glob("*.yaml"))
GONE = "gone"
ALIGN = "stages.reason.aligner"
GRPO_ALONE = {"stages.rl.objectives.1": GONE}
SFT_ONLY = {"stages.rl": GONE}
NO_LATENT = {"stages.anchors": GONE, "stages.reason": GONE}

# What each file says it changes, read off the paper.
ROWS: dict[str, dict[str, Any]] = {
    "table2_pure_sft": NO_LATENT | SFT_ONLY,
    "table2_no_alignment": SFT_ONLY | {ALIGN: "none"},
    "table2_kl": SFT_ONLY,
    "table2_cosine": SFT_ONLY | {f"{ALIGN}.distance": "cosine"},
    "table2_mse": SFT_ONLY | {f"{ALIGN}.distance": "mse"},
    "table3_minionerec": NO_LATENT | GRPO_ALONE | {"stages.rl.align_weight": 0.0},
    "table3_latent": GRPO_ALONE | {"stages.rl.align_weight": 0.0},
    "table3_terminal_kl": GRPO_ALONE,
    "table3_lasar": {},
    "figure3_two_stage": SFT_ONLY,
    "figure3_mixed": SFT_ONLY | {"stages.reason.fresh": True, "stages.reason.optimizer.lr": 3e-4},
    "figure3_mixed_fast": SFT_ONLY | {"stages.reason.fresh": True, "stages.reason.optimizer.lr": 5e-3},
    "figure4_steps": {"dataset.path": "Sports", "stages.lasar_sft": "evaluate"},
    "figure5": {"dataset.path": "Sports", "stages.rl.log_every": 1},
}
for n in range(1, 9):
    ROWS[f"figure4_force_{n}"] = {"dataset.path": "Sports", "stages.evaluate.depth": n}
for data in ("Sports", "Instruments"):
    for row in ("pure_sft", "no_alignment", "kl"):
        ROWS[f"table9_{data.lower()}_{row}"] = ROWS[f"table2_{row}"] | {"dataset.path": data}


def flat(value: Any, path: str = "") -> dict[str, Any]:
    """Leaves by dotted path; an empty table or list is one."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    found = {}
    for key, part in items:
        found |= flat(part, f"{path}.{key}" if path else str(key))
    return found or {path: value}


def leaves(path: Path) -> dict[str, Any]:
    spec = load_spec(path, (), Catalogue.discover()).spec
    return flat(spec.model_dump(mode="json", exclude={"name"}))


def short(value: Any) -> Any:
    return Path(value).name if isinstance(value, str) and "/" in value else value


def changes(path: Path) -> dict[str, Any]:
    """Return what a spec resolves to that `lasar.yaml` does not, whole tables that come or go as one."""
    base, other = leaves(BEAUTY / "lasar.yaml"), leaves(path)

    def inside(table: str, found: dict[str, Any]) -> bool:
        return any(leaf == table or leaf.startswith(table + ".") for leaf in found)

    found: dict[str, Any] = {}
    for leaf in base.keys() | other.keys():
        parts = leaf.split(".")
        tables = [".".join(parts[:end]) for end in range(1, len(parts))]
        if outer := next((table for table in tables if not inside(table, other)), None):
            found[outer] = GONE
        elif outer := next((table for table in tables if not inside(table, base)), None):
            found[outer] = other[f"{outer}.use"]
        elif base.get(leaf) != other.get(leaf) or (leaf in base) != (leaf in other):
            found[leaf] = short(other.get(leaf, GONE))
    return found


@pytest.mark.parametrize("path", ABLATIONS, ids=lambda path: path.stem)
def test_an_ablation_changes_what_it_says_and_nothing_else(path: Path) -> None:
    expected, found = ROWS[path.stem], changes(path)
    if expected.get(ALIGN) == "none":  # another component: its options are others as a whole
        assert found.pop(f"{ALIGN}.use") == "none"
        gone = {leaf for leaf in found if leaf.startswith(ALIGN)}
        assert all(found.pop(leaf) == GONE for leaf in gone)
        expected = {leaf: value for leaf, value in expected.items() if leaf != ALIGN}
    assert found == expected


@pytest.mark.parametrize("path", ABLATIONS, ids=lambda path: path.stem)
def test_an_ablation_is_a_few_lines(path: Path) -> None:
    lines = [line for line in path.read_text().splitlines() if not line.startswith("#")]
    assert 1 <= len(lines) <= 5
    assert lines[0].startswith("extends: ")


def test_every_row_has_its_file_and_the_index_names_them_all() -> None:
    assert {path.stem for path in ABLATIONS} == set(ROWS)
    linked = re.findall(r"\(([\w./]+\.yaml)\)", (BEAUTY / "ablations" / "README.md").read_text())
    assert {name for name in linked if not name.startswith("..")} == {path.name for path in ABLATIONS}
    assert all((BEAUTY / "ablations" / name).is_file() for name in linked)


@pytest.mark.parametrize("path", ABLATIONS, ids=lambda path: path.stem)
def test_an_ablation_works_on_the_model_for_two_cores_too(path: Path, tmp_path: Path) -> None:
    """As the index says: with `lasar_cpu.yaml` in the place of the file that it extends, nothing in it is
    hardly meant, and the stage `evaluate` is its row."""
    for other in ABLATIONS:
        text = re.sub(r"extends: \.\./\w+\.yaml", f"extends: {BEAUTY / 'lasar_cpu.yaml'}", other.read_text())
        (tmp_path / other.name).write_text(text)
    loaded = load_spec(tmp_path / path.name, (), Catalogue.discover())
    assert cautions(loaded) == []
    stages = {stage.name: stage for stage in loaded.plan}
    row, expected = stages["evaluate"], ROWS[path.stem]
    assert row.config.label is None  # type: ignore[attr-defined]
    last = [name for name in ("rl", "reason", "refine") if expected.get(f"stages.{name}") != GONE]
    assert row.inputs["checkpoint"] == last[0]
    assert ("lasar_sft" in stages) == ("reason" in stages)


@pytest.mark.parametrize("path", sorted(BEAUTY.rglob("*.yaml")), ids=lambda path: path.stem)
def test_data_are_named_inside_the_project(path: Path) -> None:
    data = load_spec(path, (), Catalogue.discover()).spec.dataset.path  # type: ignore[attr-defined]
    assert data.parent == BEAUTY / "data"


SETTLED: dict[str, Any] = {
    "max_history": 20,
    "decoder.width": 50,
    "decoder.score": "vocabulary",
    "stages.tokenize.quantizer.levels": 4,
    "stages.tokenize.quantizer.codes": 256,
    "stages.tokenize.collision": "reassign",
    "stages.ground.epochs": 10,
    "stages.ground.optimizer.lr": 5e-4,
    "stages.ground.optimizer.warmup": 0.08,
    "stages.ground.samples": "sliding",
    "stages.anchors.context": "segment_only",
    "stages.anchors.max_segments": 8,
    "stages.reason.epochs": 20,
    "stages.reason.optimizer.lr": 5e-5,
    "stages.reason.batch_size": 512,
    "stages.reason.latent_loop.h0": "lat_s",
    "stages.reason.latent_loop.exit": "e_token",
    "stages.reason.latent_loop.feedback_scale": "none",
    "stages.reason.latent_loop.detach": False,
    "stages.reason.depth_policy.n_max": 8,
    "stages.reason.depth_policy.allow_zero": False,
    "stages.reason.depth_policy.detach_h0": False,
    "stages.reason.depth": "label",
    "stages.reason.validate_first": True,
    f"{ALIGN}.distance": "bikl",
    f"{ALIGN}.temperature": 1.0,
    f"{ALIGN}.space": "hidden",
    "stages.reason.align_weight": 0.1,
    "stages.reason.policy_weight": 0.1,
    "stages.rl.optimizer.lr": 1e-5,
    "stages.rl.candidates": 8,
    "stages.rl.rollout.use": "trie_beam",
    "stages.rl.score": "trie",
    "stages.rl.depth": "sample",
    "stages.rl.rewards.0.reward.use": "rule",
    "stages.rl.rewards.1.reward.sign": -1,
    "stages.rl.objectives.0.objective.ratio": "old",
    "stages.rl.objectives.0.objective.level": "token",
    "stages.rl.objectives.0.objective.kl": "k3",
    "stages.rl.objectives.0.objective.beta": 1e-3,
    "stages.rl.objectives.0.objective.clip": 0.2,
    "stages.rl.objectives.0.objective.constant_groups": "skip",
    "stages.rl.objectives.0.objective.mean_over": "prompts",
    "stages.rl.objectives.1.objective.step_penalty": 5e-4,
    "stages.rl.objectives.1.objective.entropy": 1e-3,
    "stages.rl.objectives.1.objective.momentum": 0.95,
    "stages.rl.objectives.1.weight": 0.01,
    "stages.rl.aligner.use": "terminal",
    "stages.rl.align_weight": 1e-5,
    "stages.evaluate.depth": "argmax",
    "prompt.max_length": 512,
}
"""The bold choices of the reading, and Table 7."""


def test_the_base_reads_the_paper_as_settled() -> None:
    found = leaves(BEAUTY / "lasar.yaml")
    assert {name: found[name] for name in SETTLED} == SETTLED


def test_the_literal_reading_differs_in_what_the_paper_prints() -> None:
    teacher = "stages.anchors.teacher"
    assert changes(BEAUTY / "lasar_paper.yaml") == {
        f"{teacher}.use": "jsonl",
        f"{teacher}.path": "cot.jsonl",
        f"{teacher}.missing": "skip",
        f"{teacher}.recommendation": "keep",
        f"{teacher}.saw_target": False,
        "decoder.score": "trie",
        "stages.reason.latent_loop.h0": "prompt_last",
        "stages.reason.latent_loop.exit": "hN_as_input",
        "stages.reason.depth": "policy",
        f"{ALIGN}.excess": "skip",
        "stages.rl.rewards.1.reward.sign": 1,
        "stages.rl.objectives.0.objective.ratio": "ref",
        "stages.rl.objectives.0.objective.constant_groups": "keep",
    }
