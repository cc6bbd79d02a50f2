"""Warnings about parts with weights that nothing trains: depth policies, and decoders."""

from pathlib import Path

import pytest

from lasar_kit.errors import UserError
from tests.small import THINKS, told

MORE = "  rl: {use: rl}\n  more: {use: sft, latent_loop: coconut, depth_policy: mlp, policy_weight: 0}\n"


@pytest.mark.parametrize(
    ("stages", "overrides", "untaught"),
    [
        (["anchors"], [], []),
        (["rl"], [], []),
        ([], [], ["reason"]),
        ([], ["stages.reason.depth_policy.n_max=1"], []),
        ([], ["stages.reason.depth_policy=fixed"], []),
        (["anchors"], ["stages.reason.policy_weight=0"], ["reason"]),
        (["anchors"], ["stages.reason.objectives=[{objective: depth_label}]"], []),
        (["anchors"], ["stages.reason.objectives=[{objective: depth_label, weight: 0}]"], ["reason"]),
        (["rl"], ["stages.rl.objectives=[{objective: grpo}]"], ["reason"]),
        (["rl"], ["stages.rl.objectives=[{objective: grpo}, {objective: reinforce}]"], []),
        (["rl"], ["stages.rl.objectives=[{objective: grpo}, {objective: reinforce, weight: 0}]"], ["reason"]),
        (["rl"], ["stages.rl.from=ground", "stages.rl.objectives=[{objective: grpo}]"], ["reason"]),
        (["anchors", "more"], ["stages.more.from=reason"], []),
        (["anchors", "more"], ["stages.more.from=reason", "stages.more.depth_policy.detach_h0=true"], []),
        (["anchors", "more"], ["stages.more.from=reason", "stages.more.fresh=true"], ["more"]),
        (["rl", "more"], [], []),
        (["rl", "more"], ["stages.more.from=reason"], ["more"]),
    ],
)
def test_a_depth_policy_that_nothing_teaches(
    tmp_path: Path, stages: list[str], overrides: list[str], untaught: list[str]
) -> None:
    """Neither the number of segments of anchors nor RL, in the stage, before it or behind it."""
    spec = THINKS.replace("  rl: {use: rl}\n", MORE)
    gone = [f"stages.{name}=null" for name in ("anchors", "rl", "more") if name not in stages]
    text = (
        "nothing teaches depth_policy mlp how long to think, so it stays as it was drawn; have it learn the "
        "number of segments ('policy_weight', behind a stage 'anchors'), add a stage 'rl' behind this one, "
        "or set 'depth_policy: fixed'"
    )
    found = [line.partition(": stages.")[2] for line in told(tmp_path, spec, *gone, *overrides)]
    assert found == [f"{name}: {text}" for name in untaught]


MIXED = """\
decoder: {use: mixed_trie, learned: true}
stages:
  tokenize: tokenize
  ground: {use: sft, objectives: [{objective: mixture, weight: 1}]}
  evaluate: evaluate
"""


def untrained(which: str = "") -> str:
    return (
        f"nothing trains the weights of mixed_trie{which}, so they stay as they began; add 'objectives: "
        "[{objective: mixture}]' to a stage sft, or leave 'learned' out"
    )


def test_a_decoder_whose_weights_nothing_trains(tmp_path: Path) -> None:
    """The spec's, or that of a stage."""
    text = untrained()
    assert told(tmp_path, MIXED) == []
    none = [f"spec.yaml:1: decoder: {text}"]
    assert told(tmp_path, MIXED, "stages.ground.objectives=[]") == none
    assert told(tmp_path, MIXED, "stages.ground.objectives=[{objective: mixture, weight: 0}]") == none
    assert told(tmp_path, MIXED, "stages.ground.objectives=[]", "decoder.learned=false") == []
    run = "decoder.prior={use: run, run: runs/first}"
    alone = text.replace("add 'objectives: [{objective: mixture}]' to a stage sft, or ", "")
    assert told(tmp_path, MIXED, "stages.ground.objectives=[]", run) == [
        f"--set decoder.prior: decoder: {alone}"
    ]
    assert told(tmp_path, MIXED, "stages={ground: null, evaluate: null}") == []  # there is no model
    own = "stages.evaluate.decoder={use: mixed_trie, learned: true}"
    assert told(tmp_path, MIXED, own) == []
    assert told(tmp_path, MIXED, own, "stages.ground.objectives=[]", "decoder=trie_beam") == [
        f"--set stages.evaluate.decoder: stages.evaluate.decoder: {text}"
    ]


LINES = """\
decoder: {use: mixed_trie, learned: true}
stages:
  tokenize: tokenize
  ground: {use: sft}
  first: {use: evaluate}
  mixed: {use: sft, from: ground, objectives: [{objective: mixture}]}
  rl: {use: rl}
  last: {use: evaluate}
"""


@pytest.mark.parametrize(
    ("overrides", "lacking"),
    [
        ([], "first"),  # it reads what is trained later, as that was before
        (["stages.first=null"], ""),
        (["stages.first.from=ground", "stages.last.from=ground"], "first and last"),
        (["stages.first=null", "stages.last.from=mixed"], ""),
        (["stages.first=null", "stages.rl.from=ground"], "rl and last"),
        (["stages.first=null", "stages.rl={use: sft, from: mixed, fresh: true}"], "rl and last"),
        (["stages.first=null", "stages.rl={use: sft, from: mixed}"], ""),
        (["stages.first.decoder=trie_beam"], ""),
    ],
)
def test_weights_of_a_decoder_are_those_of_the_models_that_it_ranks_by(
    tmp_path: Path, overrides: list[str], lacking: str
) -> None:
    """Each stage reads a model by `from`, or the nearest; another stage's training does not reach it."""
    expected = [f"spec.yaml:1: decoder: {untrained(f' for {lacking}')}"] if lacking else []
    assert told(tmp_path, LINES, *overrides) == expected


@pytest.mark.parametrize(("key", "source"), [("stages.last.decoder", "last"), ("stages.rl.rollout", "rl")])
def test_a_stages_own_decoder_has_the_weights_of_the_model_that_it_reads(
    tmp_path: Path, key: str, source: str
) -> None:
    own = [f"{key}={{use: mixed_trie, learned: true}}", "stages.first=null", "decoder.learned=true"]
    assert told(tmp_path, LINES, *own) == []
    own += ["decoder=trie_beam", "stages.mixed.objectives=[]"]
    assert told(tmp_path, LINES, *own) == [f"--set {key}: {key}: {untrained()}"]
    other = [*own[:2], "stages.mixed.objectives=[{objective: mixture}]", f"stages.{source}.from=ground"]
    assert f"--set {key}: {key}: {untrained()}" in told(tmp_path, LINES, *other)


@pytest.mark.parametrize("key", ["stages.last.decoder", "stages.rl.rollout"])
def test_a_stages_own_decoder_takes_no_share_of_another_prior(tmp_path: Path, key: str) -> None:
    """What is learnt is the share of one prior; of another, and of other scores of it, it says nothing."""
    start = ["stages.first=null", f"{key}={{use: mixed_trie, learned: true, weight: 0.7, score: vocabulary}}"]
    assert told(tmp_path, LINES, *start) == []
    assert told(tmp_path, LINES, *start, f"{key}.prior=popularity", f"{key}.learned=false") == []
    for change, what in (
        ("prior=popularity", "prior popularity instead of item_knn_directed"),
        ("prior.recent=3", "prior.recent 3 instead of 10"),
        ("normalise=softmax", "normalise 'softmax' instead of None"),
    ):
        with pytest.raises(UserError) as caught:
            told(tmp_path, LINES, *start, f"{key}.{change}")
        [line] = caught.value.lines
        assert line.partition(f" {key}: ")[2] == (
            f"the decoder's weights that the model brings were learnt with other options: {what}; take those "
            "of the spec's 'decoder', or leave 'learned' out"
        )
