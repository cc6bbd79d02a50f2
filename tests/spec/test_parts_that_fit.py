"""Parts of a spec that do not fit together are refused before anything runs."""

from __future__ import annotations

from pathlib import Path

import pytest

from lasar_kit.catalogue import Catalogue
from lasar_kit.errors import UserError
from lasar_kit.spec import cautions, load_spec
from lasar_plugins.backbone.sasrec.config import SasRecConfig
from lasar_plugins.decoder.trie.config import TrieBeamConfig, TrieConfig
from lasar_plugins.latent_loop.coconut.config import CoconutConfig

CATALOGUE = Catalogue.discover()
SPEC = """\
backbone: sasrec
prompt: sid_only
stages:
  tokenize: {use: tokenize, quantizer: item_id}
  train: {use: sft, latent_loop: coconut, depth_policy: fixed}
  rl: {use: rl, align_weight: 0, objectives: [{objective: grpo}]}
  evaluate: {use: evaluate}
"""


def told(folder: Path, *overrides: str) -> list[str]:
    (folder / "spec.yaml").write_text(SPEC)
    try:
        load_spec(folder / "spec.yaml", overrides, CATALOGUE)
    except UserError as error:
        return [line.partition(": ")[2] for line in error.lines]
    return []


def test_what_fits_is_let_in(tmp_path: Path) -> None:
    assert told(tmp_path) == []


@pytest.mark.parametrize(
    ("override", "line"),
    [
        (
            "stages.train.text={weight: 0.2}",
            "stages.train.text: item_text trains words, and backbone sasrec has none",
        ),
        (
            "stages.train.tasks={text_to_sid: 1}",
            "stages.train.tasks.text_to_sid: text_to_sid trains words, and backbone sasrec has none",
        ),
        (
            "stages.train.objectives=[{objective: align}]",
            "stages.train.objectives: align needs anchors, from a teacher's texts; add a stage 'anchors' "
            "before this one",
        ),
        (
            "stages.train.objectives=[{objective: {use: align, aligner: none}}]",
            "stages.train.objectives: align needs anchors, from a teacher's texts; add a stage 'anchors' "
            "before this one",
        ),
        (
            "stages.train.objectives=[{objective: depth_label}]",
            "stages.train.objectives: depth_label needs anchors, from a teacher's texts; add a stage "
            "'anchors' before this one",
        ),
    ],
)
def test_an_objective_that_lacks_what_it_needs(tmp_path: Path, override: str, line: str) -> None:
    assert told(tmp_path, override) == [line]


@pytest.mark.parametrize(
    ("override", "why"),
    [
        (
            "stages.train.objectives=[{objective: s2gr}]",
            "s2gr holds a thought before each token, and coconut has none there; set 'latent_loop: s2gr'",
        ),
        (
            "stages.train.objectives=[{objective: remaining_steps}]",
            "remaining_steps trains a loop that writes, and coconut does not; set 'latent_loop: "
            "coconut_curriculum'",
        ),
        (
            "stages.train={latent_loop: {use: coconut_curriculum, drop: true}, objectives: [{objective: "
            "remaining_steps}]}",
            "remaining_steps trains a loop that writes, and coconut_curriculum does not with its options; "
            "set 'latent_loop: coconut_curriculum'",
        ),
        (
            "stages.train={latent_loop: {use: coconut_curriculum, drop: true}, objectives: [{objective: "
            "rationale}]}",
            "rationale teaches a loop to write, and coconut_curriculum does not with its options; set "
            "'latent_loop: {use: written}'",
        ),
        (
            "stages.train.objectives=[{objective: plr_diversity}]",
            "plr_diversity keeps parallel streams apart, and coconut has one; set 'latent_loop: plr'",
        ),
        (
            "stages.train={latent_loop: none, objectives: [{objective: latentr3}]}",
            "latentr3 reinforces thoughts, and none has none; set 'latent_loop: latentr3'",
        ),
        (
            "stages.train={latent_loop: none, objectives: [{objective: codi}]}",
            "codi distils a text into thoughts alone, and none has no thoughts; set 'latent_loop: coconut'",
        ),
        (
            "stages.train={latent_loop: coconut_curriculum, objectives: [{objective: codi}]}",
            "codi distils a text into thoughts alone, and coconut_curriculum writes words too; set "
            "'latent_loop: coconut'",
        ),
    ],
)
def test_an_objective_that_cannot_train_the_loop(tmp_path: Path, override: str, why: str) -> None:
    assert f"stages.train.objectives: {why}" in told(tmp_path, override)


def test_a_term_is_weighed_in_one_place(tmp_path: Path) -> None:
    found = told(tmp_path, "stages.train.objectives=[{objective: align}]", "stages.train.align_weight=0.2")
    assert found[0].startswith("stages.train: objectives lists align, so align_weight would do nothing")


@pytest.mark.parametrize("name", ["align", "depth_label", "answer"])
def test_a_listed_objective_in_a_spec_filled_in(tmp_path: Path, name: str) -> None:
    """A finished run is read by `spec.lock.yaml`, where all options have a line."""
    spec = SPEC.replace("  train:", "  ground: sft\n  anchors: anchors\n  train:")
    (tmp_path / "spec.yaml").write_text(spec)
    loaded = load_spec(
        tmp_path / "spec.yaml", [f"stages.train.objectives=[{{objective: {name}}}]"], CATALOGUE
    )
    (tmp_path / "lock.yaml").write_text(loaded.dump())
    assert load_spec(tmp_path / "lock.yaml", (), CATALOGUE).dump() == loaded.dump()


@pytest.mark.parametrize(
    ("overrides", "expected"),
    [
        ((), True),
        (("stages.train.depth_policy={use: fixed, depth: 2, others: [0]}",), True),
        (("stages.train.depth_policy=mlp",), False),
        (("stages.rl.objectives=[{objective: reinforce}, {objective: grpo}]",), False),
        (("stages.train.latent_loop=halting",), False),
    ],
)
def test_rl_on_the_depth_alone_needs_a_choice(
    tmp_path: Path, overrides: tuple[str, ...], expected: bool
) -> None:
    found = told(tmp_path, "stages.rl.objectives=[{objective: reinforce}]", *overrides)
    line = (
        "stages.rl.objectives: reinforce teaches how long to think, and depth policy fixed has one depth "
        "alone, so there is nothing to learn; set 'depth_policy: mlp' in the stage sft before, or add "
        "'{objective: grpo}'"
    )
    assert found == [line] * expected


@pytest.mark.parametrize(
    ("loop", "depth", "expected"), [("coconut", 1, 0), ("none", 1, 1), ("coconut", 0, 1)]
)
def test_anchors_hold_thoughts_where_there_are_any(
    tmp_path: Path, loop: str, depth: int, expected: int
) -> None:
    """RL of the depth alone may have anchors to learn by instead."""
    spec = SPEC.replace("sasrec", "{use: qwen3, hidden_size: 16}").replace(
        "  train:", "  ground: sft\n  anchors: anchors\n  train:"
    )
    (tmp_path / "spec.yaml").write_text(spec)
    overrides = [
        f"stages.train.latent_loop={loop}",
        f"stages.train.depth_policy={{use: fixed, depth: {depth}}}",
        "stages.rl={align_weight: 0.1, objectives: [{objective: reinforce}]}",
    ]
    if not expected:
        load_spec(tmp_path / "spec.yaml", overrides, CATALOGUE)
        return
    with pytest.raises(
        UserError, match=r"rl\.objectives: reinforce teaches how long to think, and depth policy"
    ):
        load_spec(tmp_path / "spec.yaml", overrides, CATALOGUE)


def test_packed_training_needs_a_causal_backbone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert told(tmp_path, "stages.train.samples=packed") == []
    monkeypatch.setattr(SasRecConfig, "causal", False)
    [line] = told(tmp_path, "stages.train.samples=packed")
    assert line.startswith("stages.train.samples: packed reads many prompts in one pass, and sasrec cannot")


def test_a_loop_that_writes_needs_words_and_texts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(CoconutConfig, "writes", True)
    assert told(tmp_path) == [
        "stages.train.latent_loop: coconut writes words, and backbone sasrec has none",
        "stages.train.latent_loop: coconut learns to write from a teacher's texts; add a stage 'anchors' "
        "before this one",
    ]


COT = """\
backbone: {use: qwen3, hidden_size: 16}
stages:
  tokenize: tokenize
  ground: {use: sft, text: {weight: 0.2}}
  anchors: anchors
  reason:
    use: sft
    latent_loop: written
    depth_policy: {use: fixed, depth: 1, others: [0]}
    objectives: [{objective: rationale}, {objective: direct_answer}]
  rl: {use: rl, texts: own, objectives: [{objective: srpo}]}
  direct: {use: evaluate, depth: 0}
"""


@pytest.mark.parametrize(
    ("overrides", "lines"),
    [
        ([], []),
        (
            ["backbone={use: sasrec}", "stages.anchors=null", "stages.ground.text.weight=0"],
            [
                "stages.reason.latent_loop: written writes words, and backbone sasrec has none",
                "stages.reason.latent_loop: written learns to write from a teacher's texts; add a stage",
                "stages.reason.objectives: rationale trains words, and backbone sasrec has none",
                "stages.reason.objectives: rationale needs rationale, from a teacher's texts; add a stage",
            ],
        ),
        (
            ["stages.reason.depth_policy=none", "stages.direct=null"],
            [
                "stages.reason.depth_policy: written writes nothing at depth 0, and none has no other; set "
                "'depth_policy: {use: fixed, depth: 1, others: [0]}'"
            ],
        ),
        (
            ["stages.reason.latent_loop=coconut"],
            [
                "stages.reason.objectives: rationale teaches a loop to write, and coconut does not; set",
                "stages.reason.objectives: direct_answer teaches a loop to write, and coconut does not; set",
                "stages.rl.texts: own draws a text for each candidate, and coconut writes none; set",
            ],
        ),
        (
            ["stages.rl.texts=shared"],
            ["stages.rl.objectives.0: srpo compares candidates by their texts, and these share one"],
        ),
        (
            ["stages.rl.objectives=[{objective: reinforce}]"],
            ["stages.rl.objectives: reinforce teaches how long to think, and depth policy fixed has one"],
        ),
        (
            ["stages.rl.candidates=3"],
            ["stages.rl.objectives.0: srpo needs 4 candidates a prompt or more, and candidates is 3"],
        ),
        (
            ["stages.rl.rollout={use: trie_sample, width: 8}"],
            ["stages.rl.rollout: width must be 1, a candidate behind each text (got 8)"],
        ),
        (
            ["stages.rl.align_weight=0.1"],
            ["stages.rl.align_weight: texts of candidates are held to no anchor; leave it out"],
        ),
    ],
)  # fmt: skip
def test_explicit_reasoning_needs_all_its_parts(
    tmp_path: Path, overrides: list[str], lines: list[str]
) -> None:
    (tmp_path / "spec.yaml").write_text(COT)
    try:
        load_spec(tmp_path / "spec.yaml", overrides, CATALOGUE)
        found: list[str] = []
    except UserError as error:
        found = [line.partition(": ")[2] for line in error.lines]
    assert len(found) == len(lines), found
    for one, start in zip(found, lines, strict=True):
        assert one.startswith(start)


def test_a_loop_that_nobody_teaches_is_warned_of(tmp_path: Path) -> None:
    (tmp_path / "spec.yaml").write_text(COT)
    loaded = load_spec(tmp_path / "spec.yaml", ["stages.reason.objectives=[]"], CATALOGUE)
    assert any("written writes, but no objective here teaches it to" in one for one in cautions(loaded))


def test_thinking_between_answer_tokens_needs_decoders_that_let_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(CoconutConfig, "thinks_between", True)
    assert told(tmp_path) == []
    monkeypatch.setattr(TrieConfig, "offers_between", False)
    assert not TrieBeamConfig.offers_between
    why = "coconut thinks between answer tokens; decoder trie_beam does not let it"
    assert told(tmp_path) == [
        f"stages.train.latent_loop: {why}",
        f"stages.rl.rollout: {why}",
        f"stages.evaluate.decoder: {why}",
    ]


@pytest.mark.parametrize(("loop", "expected"), [("written", False), ("coconut_curriculum", True)])
def test_a_reward_that_looks_for_what_is_never_written(tmp_path: Path, loop: str, expected: bool) -> None:
    (tmp_path / "spec.yaml").write_text(COT)
    reason = f"stages.reason={{latent_loop: {loop}, objectives: [{{objective: rationale}}]}}"
    try:
        load_spec(tmp_path / "spec.yaml", [reason, "stages.rl.rewards=[{reward: format_gate}]"], CATALOGUE)
        found = []
    except UserError as error:
        found = [line.partition(": ")[2] for line in error.lines]
    line = (
        "stages.rl.rewards.0: format_gate looks for </think> in what is written, and coconut_curriculum "
        "writes none; leave it out, or set 'latent_loop: written' in the stage sft before"
    )
    assert found == [line] * expected
