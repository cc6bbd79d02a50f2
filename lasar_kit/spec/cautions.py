"""Cautions: places of a valid spec that are hardly meant."""

from __future__ import annotations

from collections.abc import Sequence

from lasar_kit.spec.bases import DecoderConfig, SftObjectiveConfig
from lasar_kit.spec.component import ComponentConfig
from lasar_kit.spec.lineage import inputs_of, line_of, trained_by
from lasar_kit.spec.load import LoadedSpec
from lasar_kit.spec.plan import PlannedStage

Caution = tuple[tuple[str, ...], str]
"""A key of the spec, and what is hardly meant there."""


def cautions(loaded: LoadedSpec) -> list[str]:
    """A line for each, as `file:line: stages.NAME: what`."""
    return [placed(loaded, caution) for caution in doubtful(loaded)]


def placed(loaded: LoadedSpec, caution: Caution) -> str:
    """The line of a caution about a spec."""
    key, text = caution
    return f"{loaded.where(*key)}: {'.'.join(key)}: {text}"


def doubtful(loaded: LoadedSpec) -> list[Caution]:
    """What is hardly meant, and at which keys."""
    found: list[Caution] = [
        ((kind,), f"{', '.join(idle)} have no effect beside {kind}'s other options")
        for kind, config in loaded.spec
        if isinstance(config, ComponentConfig) and (idle := config.without_effect())
    ]
    for stage in loaded.plan:
        line, inputs = line_of(stage, loaded.plan), inputs_of(stage, loaded.plan)
        texts = stage.config.cautions(loaded.spec.backbone, line, inputs)
        found += [(("stages", stage.name), text) for text in texts]
        found += _untaught(loaded, stage)
        found += _narrow(loaded, stage)
    return found + _untrained(loaded)


def _untaught(loaded: LoadedSpec, stage: PlannedStage) -> list[Caution]:
    """A stage makes a model whose depth policy learns nothing, there, before or behind it.

    A warning: who asks what chance makes of it may, and RL may stand in a spec that extends this one.
    """
    policy, loop = stage.config.policy, stage.config.loop
    if policy is None or not policy.learns or loop is None or loop.use == "none":
        return []
    made = {one.name: trained_by(one, loaded.plan) for one in loaded.plan}
    if any(
        one.config.teaches_depth(inputs_of(one, loaded.plan))
        for one in loaded.plan
        if (stage.name in made[one.name] or one.name in made[stage.name])
        and _policy(loaded, made[one.name]) == policy.use
    ):
        return []
    text = (
        f"nothing teaches depth_policy {policy.use} how long to think, so it stays as it was drawn; have it "
        "learn the number of segments ('policy_weight', behind a stage 'anchors'), add a stage 'rl' behind "
        "this one, or set 'depth_policy: fixed'"
    )
    return [(("stages", stage.name), text)]


def _policy(loaded: LoadedSpec, line: Sequence[str]) -> str | None:
    """The name of the depth policy of the model that these stages made, the latest first."""
    policies = (loaded.spec.stages[name].policy for name in line)
    return next((policy.use for policy in policies if policy is not None), None)


def _untrained(loaded: LoadedSpec) -> list[Caution]:
    """A decoder has weights of its own that nothing trains, in the models that it ranks by."""
    made = {stage.name: trained_by(stage, loaded.plan) for stage in loaded.plan}
    trains = [stage.name for stage in loaded.plan if _trains_decoder(stage)]
    trained = {name for name, stages in made.items() if any(one in stages for one in trains)}
    later = {name for one in trains for name in made[one]}  # what is yet to be trained may be validated
    found: list[tuple[tuple[str, ...], DecoderConfig, str]] = []
    ranks = [
        one.name for one in loaded.plan if "decoder" in type(one.config).reads and not one.config.own_decoder
    ]
    lacking = [name for name in ranks if name not in trained | later]
    if lacking:
        which = "" if lacking == ranks else f" for {' and '.join(lacking)}"
        found.append((("decoder",), loaded.spec.decoder, which))
    for stage in loaded.plan:
        if stage.name not in trained:
            own = [(option, value) for option, value in stage.config if isinstance(value, DecoderConfig)]
            found += [(("stages", stage.name, option), value, "") for option, value in own]
    return [(key, _idle(decoder, which)) for key, decoder, which in found if decoder.learns]


def _idle(decoder: DecoderConfig, which: str) -> str:
    """What to do about weights that nothing trains, or, beside a run, can."""
    ranker = decoder.mixed_in
    add = "add 'objectives: [{objective: mixture}]' to a stage sft, or "
    return (
        f"nothing trains the weights of {decoder.use}{which}, so they stay as they began; "
        f"{'' if ranker and ranker.trained_before else add}leave 'learned' out"
    )


def _trains_decoder(stage: PlannedStage) -> bool:
    """Whether an objective of a stage trains what the spec's decoder has of weights."""
    terms = [term.objective for term in stage.config.listed if term.weight]
    return any(isinstance(term, SftObjectiveConfig) and term.trains_decoder for term in terms)


def _narrow(loaded: LoadedSpec, stage: PlannedStage) -> list[Caution]:
    """A decoder keeps fewer items than the lists that a stage measures."""
    own, longest = stage.config.own_decoder, type(stage.config).longest_list
    decoder = own or loaded.spec.decoder
    if decoder.width >= longest:
        return []
    key = ("stages", stage.name, "decoder") if own else ("decoder",)
    text = (
        f"a beam of {decoder.width} ends before place {longest}, to which stages.{stage.name} measures HR "
        f"and NDCG; set 'width: {longest}' or more"
    )
    return [(key, text)]
