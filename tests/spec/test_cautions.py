"""Warnings about valid specs."""

from pathlib import Path

import pytest

from lasar_kit.catalogue import Catalogue
from lasar_kit.core.metrics import CUTOFFS
from lasar_kit.errors import UserError
from lasar_kit.spec import cautions, load_spec
from tests.small import SPECS, THINKS, told

ROOT = Path(__file__).resolve().parents[2]
BASE = """\
stages:
  tokenize: tokenize
  ground: {use: sft}
  anchors:
    use: anchors
"""
TEXTLESS = (
    "stages.anchors: the backbone is from scratch and saw no text in {0}, so its states of the teacher's "
    "texts mean little; add 'text: {{weight: 0.2}}' to stages.{1}, or name a 'pretrained' backbone"
)


def test_anchors_of_a_backbone_that_saw_no_text(tmp_path: Path) -> None:
    assert told(tmp_path, BASE) == ["spec.yaml:4: " + TEXTLESS.format("'ground'", "ground")]


@pytest.mark.parametrize(
    ("stage", "expected"),
    [
        (
            "latent_loop: coconut",
            "coconut thinks as long as depth_policy says, and none has depth 0 alone, so it never thinks; "
            "set 'depth_policy: mlp' or 'depth_policy: fixed'",
        ),
        (
            "latent_loop: coconut, depth_policy: {use: fixed, depth: 0}",
            "coconut thinks as long as depth_policy says, and fixed has depth 0 alone, so it never thinks; "
            "set 'depth_policy: mlp' or 'depth_policy: fixed'",
        ),
        (
            "depth_policy: mlp",
            "depth_policy mlp says how long to think, and latent_loop none does not think; set "
            "'latent_loop: coconut', or leave depth_policy out",
        ),
        (
            "objectives: [{objective: rearec_erl}, {objective: each_thought}]",
            "objectives lists rearec_erl, each_thought, about thoughts, and latent_loop none does not think; "
            "set 'latent_loop: coconut', or leave it out",
        ),
        ("objectives: [{objective: rearec_erl, weight: 0}]", ""),
        ("latent_loop: coconut, depth_policy: fixed", ""),
        ("depth_policy: {use: fixed, depth: 0}", ""),
    ],
)
def test_a_loop_and_a_policy_need_each_other(tmp_path: Path, stage: str, expected: str) -> None:
    spec = f"stages:\n  tokenize: tokenize\n  think: {{use: sft, {stage}}}\n"
    assert told(tmp_path, spec) == ([f"spec.yaml:3: stages.think: {expected}"] if expected else [])


def test_anchors_of_a_backbone_without_words(tmp_path: Path) -> None:
    """It cannot be taught any either."""
    assert told(tmp_path, BASE, "backbone=sasrec", "prompt=sid_only") == [
        "spec.yaml:4: stages.anchors: backbone sasrec has no words, so its states of the teacher's texts "
        "mean nothing; name a 'reader', a pretrained language model"
    ]


def test_options_without_effect(tmp_path: Path) -> None:
    """A spec that extends one from scratch keeps its sizes beside the model it names."""
    backbone = "backbone: {{use: qwen3, pretrained: {}, hidden_size: 64, layers: 2}}\n"
    spec = backbone + "stages: {{tokenize: tokenize}}\n"
    assert told(tmp_path, spec.format("null")) == []
    assert told(tmp_path, spec.format(".")) == [
        "spec.yaml:1: backbone: hidden_size, layers have no effect beside backbone's other options"
    ]


@pytest.mark.parametrize(
    "override",
    [
        "stages.ground.text.weight=0.1",
        "stages.ground.reasoning_text.weight=0.1",
        "stages.ground.tasks.text_to_sid=0.1",
        "stages.ground.tasks.sid_to_text=0.1",
        "stages.ground.tasks.history_to_title=0.1",
        "stages.ground.tasks.titles_to_sid=0.1",
        "backbone={use: qwen3, pretrained: Qwen/Qwen3-0.6B}",
    ],
)
def test_text_or_pretraining_makes_it_silent(tmp_path: Path, override: str) -> None:
    assert told(tmp_path, BASE, override) == []


def test_the_whole_line_of_a_checkpoint_counts_up_to_a_fresh_start(tmp_path: Path) -> None:
    spec = BASE.replace("  anchors", "  more: {use: sft, tasks: {next_item: 2}}\n  rl: rl\n  anchors")
    expected = ["spec.yaml:6: " + TEXTLESS.format("'ground' and 'more' and 'rl'", "ground")]
    assert told(tmp_path, spec) == expected
    assert told(tmp_path, spec, "stages.ground.text.weight=1") == []
    fresh = told(tmp_path, spec, "stages.ground.text.weight=1", "stages.more.fresh=true")
    assert fresh == ["spec.yaml:6: " + TEXTLESS.format("'more' and 'rl'", "more")]
    other = told(tmp_path, spec, "stages.more.text.weight=1", "stages.anchors.from=ground")
    assert other == ["--set stages.anchors.from: " + TEXTLESS.format("'ground'", "ground")] or (
        len(other) == 1 and "'ground', so" in other[0]
    )


def test_weights_in_bfloat16_that_are_trained(tmp_path: Path) -> None:
    spec = "stages: {tokenize: tokenize, ground: {use: sft}, more: {use: sft}, rl: rl}\n"
    narrow = "backbone={use: qwen3, pretrained: Qwen/Qwen3-0.6B, dtype: bfloat16"
    [line] = told(tmp_path, spec, narrow + "}")
    assert line.startswith("spec.yaml:1: stages.ground: backbone.dtype is 'bfloat16' and 'lora' is null: ")
    assert told(tmp_path, spec, narrow + ", lora: {rank: 2}}") == []
    assert told(tmp_path, spec, narrow.replace("bfloat16", "float32") + "}") == []


def test_texts_about_prompts_that_are_not_trained_on(tmp_path: Path) -> None:
    assert told(tmp_path, THINKS) == told(tmp_path, THINKS, "stages.reason.samples=packed") == []
    both = ("stages.anchors.samples=longest_per_user", "stages.reason.samples=longest_per_user")
    assert told(tmp_path, THINKS, *both) == []
    assert told(tmp_path, THINKS, both[0]) == [
        "spec.yaml:6: stages.reason: samples is 'sliding' but stages.anchors.samples is 'longest_per_user': "
        "texts are of few of its prompts"
    ]
    assert told(tmp_path, THINKS, both[1]) == [
        "--set stages.reason.samples: stages.reason: samples is 'longest_per_user' but "
        "stages.anchors.samples is 'sliding': texts are of prompts it never sees"
    ]
    text = "stages.reason.reasoning_text={weight: 0.1, samples: longest_per_user}"
    assert told(tmp_path, THINKS, text.replace("longest_per_user", "sliding")) == []
    [line] = told(tmp_path, THINKS, text)
    assert line.endswith("reasoning_text.samples is 'longest_per_user': texts are of few of its prompts")
    assert told(tmp_path, THINKS, text.replace("0.1", "0")) == []


def test_histories_that_are_not_those_of_the_anchors(tmp_path: Path) -> None:
    assert told(tmp_path, THINKS, "stages.ground.item_drop=0.2") == []
    assert told(tmp_path, THINKS, "stages.reason.item_drop=0.2") == [
        "--set stages.reason.item_drop: stages.reason: item_drop leaves items out of prompts whose anchors "
        "were made with all of them"
    ]


def test_reinforce_without_drawn_depths(tmp_path: Path) -> None:
    assert told(tmp_path, THINKS, "stages.rl.depth=argmax") == [
        "--set stages.rl.depth: stages.rl: reinforce needs drawn depths, but depth is 'argmax': it only sees "
        "what the policy finds best already; set 'depth: sample'"
    ]
    assert told(tmp_path, THINKS, "stages.rl.depth=argmax", "stages.rl.objectives=[{objective: grpo}]") == []


RL = "--set stages.rl.{0}: stages.rl: {1}"
OBJECTIVES = "stages.rl.objectives=[{{objective: {{use: {}}}}}]"


def test_one_candidate_is_no_group(tmp_path: Path) -> None:
    text = (
        "grpo compares the candidates of a prompt, but candidates is 1: every advantage is 0, so it teaches "
        "nothing; set 'candidates: 8'"
    )
    one = "stages.rl.candidates=1"
    assert told(tmp_path, THINKS, one) == [RL.format("candidates", text)]
    assert told(tmp_path, THINKS, "stages.rl.candidates=2") == []
    assert told(tmp_path, THINKS, one, OBJECTIVES.format("reinforce")) == []


@pytest.mark.parametrize(
    ("objective", "idle"),
    [
        ("grpo, clip: 0.2", "grpo's clip"),
        ("grpo, clip: 0.2, clip_high: null", "grpo's clip, clip_high"),
        ("grpo, clip: 0.2, ratio: ref", None),
        ("grpo", None),
        ("reinforce, clip: 0.2", "reinforce's clip"),
    ],
)
def test_a_clip_that_cannot_act(tmp_path: Path, objective: str, idle: str | None) -> None:
    """In the first update on its candidates the policy is what made them, and every ratio is 1. Told of a
    value that is the default's, as it stands in every spec that is filled in."""
    text = (
        f"{idle} cannot act: updates_per_rollout is 1, and in a rollout's first update every ratio is 1; set "
        "'updates_per_rollout: 2', or leave it out"
    )
    expected = [RL.format("objectives", text)] if idle else []
    spec, chosen = THINKS, OBJECTIVES.format(objective)
    assert told(tmp_path, spec, chosen) == expected
    assert told(tmp_path, spec, chosen, "stages.rl.updates_per_rollout=2") == []


@pytest.mark.parametrize(
    ("objective", "idle"),
    [
        ("grpo, clip: 0.1", "grpo's clip"),
        ("grpo, clip: 0.2, clip_high: 0.28", "grpo's clip_high"),
        ("grpo, clip: 0.1, ratio: ref", None),
        ("reinforce, clip: 0.1", "reinforce's clip"),
    ],
)
def test_a_clip_that_was_chosen_and_cannot_act_is_refused(
    tmp_path: Path, objective: str, idle: str | None
) -> None:
    chosen = OBJECTIVES.format(objective)
    assert told(tmp_path, THINKS, chosen, "stages.rl.updates_per_rollout=2") == []
    if idle is None:
        assert told(tmp_path, THINKS, chosen) == []
        return
    with pytest.raises(UserError) as refused:
        told(tmp_path, THINKS, chosen)
    assert refused.value.lines == (
        f"--set stages.rl.objectives: stages.rl.objectives.0: {idle} cannot act: updates_per_rollout is 1, "
        "and in a rollout's first update every ratio is 1; set 'updates_per_rollout: 2', or leave it out",
    )


def test_prompts_are_chosen_for_a_number_of_them(tmp_path: Path) -> None:
    likely = "stages.rl.prompts=likely"
    assert told(tmp_path, THINKS, likely, "stages.rl.max_samples=9") == []
    with pytest.raises(UserError, match=r"stages\.rl\.prompts: likely chooses 'max_samples'"):
        told(tmp_path, THINKS, likely)


@pytest.mark.parametrize(("stage", "weight"), [("reason", "stages.reason"), ("rl", "stages.rl")])
def test_an_aligner_without_anchors(tmp_path: Path, stage: str, weight: str) -> None:
    bare = THINKS.replace("  anchors: {use: anchors}\n", "")
    assert told(tmp_path, bare) == []  # that of RL is there by default
    chosen = f"stages.{stage}.aligner=terminal"
    assert told(tmp_path, THINKS, chosen) == []
    assert told(tmp_path, bare, f"stages.{stage}.aligner=none") == []
    assert told(tmp_path, bare, chosen, f"{weight}.align_weight=0") == []
    assert told(tmp_path, bare, chosen) == [
        f"--set stages.{stage}.aligner: stages.{stage}: aligner 'terminal' has no anchors to hold thoughts "
        "to, so it does nothing; add a stage 'anchors' before this one, or set 'aligner: none'"
    ]


@pytest.mark.parametrize("path", SPECS, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_no_tutorial_is_hardly_meant(path: Path) -> None:
    assert cautions(load_spec(path, (), Catalogue.discover())) == []


def test_the_document_shows_what_is_printed(tmp_path: Path) -> None:
    shown = next(
        line for line in (ROOT / "docs" / "specs.md").read_text().splitlines() if line.startswith("warning: ")
    )
    (line,) = told(tmp_path, BASE)
    assert shown.split(" ", 2)[2] == line.split(" ", 1)[1]


def test_a_beam_that_ends_before_the_last_place_that_is_measured(tmp_path: Path) -> None:
    """The spec's decoder, or the stage's own; not that of a stage that measures nothing."""
    spec = "decoder: {use: trie_beam, width: 19}\nstages:\n  tokenize: tokenize\n  ground: {use: sft}\n"
    assert told(tmp_path, spec) == []
    found = told(tmp_path, spec + "  test: evaluate\n")
    assert found == [
        "spec.yaml:1: decoder: a beam of 19 ends before place 20, to which stages.test measures HR and NDCG; "
        "set 'width: 20' or more"
    ]
    own = spec + "  test: {use: evaluate, decoder: {use: trie_beam, width: 5}}\n"
    [line] = told(tmp_path, own)
    assert line.startswith("spec.yaml:5: stages.test.decoder: a beam of 5 ends before place 20")
    assert told(tmp_path, own, "stages.test.decoder.width=20") == []


def test_the_longest_list_is_that_of_the_metrics() -> None:
    assert Catalogue.discover().config_class("stage", "evaluate").longest_list == max(CUTOFFS)  # type: ignore[attr-defined]
