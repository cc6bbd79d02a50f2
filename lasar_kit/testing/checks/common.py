"""Checks that all kinds share, made for each from how its contract puts a component to use."""

from __future__ import annotations

import json
import random
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file
from torch import nn

from lasar_kit.core.capabilities import DrawsByRow
from lasar_kit.errors import nearest
from lasar_kit.spec import ComponentConfig, SpecModel
from lasar_kit.testing import tiny
from lasar_kit.testing.compare import difference, snapshot
from lasar_kit.testing.contract import Check, Contract, Subject, expect

Law = Callable[[Contract, Subject, Any], None]


def has_its_interface(contract: Contract, subject: Subject, case: None) -> None:
    """A component is built as `Component(config, env)` and has all that its interface names."""
    assert contract.interface is not None
    names = {*vars(contract.interface), *contract.interface.__annotations__}
    lacking = sorted(name for name in names if name[0] != "_" and not hasattr(subject.component, name))
    expect(not lacking, f"{type(subject.component).__name__} lacks {', '.join(lacking)}")
    known = [check.name for check in (*checks(contract), *contract.checks)]
    wrong = [name for name in subject.exceptions if name not in known]
    told = "; ".join(f"contract_exceptions: no check {name!r}; {nearest(name, known)}" for name in wrong)
    expect(not wrong, told)


def nothing_is_raised(contract: Contract, subject: Subject, case: Any) -> None:
    """A component that is built and put to use as its kind is raises nothing."""
    _used(contract, subject.fresh(), contract.given(case))


def options_survive_a_round_trip(contract: Contract, subject: Subject, case: None) -> None:
    """A config written as JSON and read again is the same config."""
    if subject.config is None:
        return
    config = subject.config
    written = json.loads(config.model_dump_json())
    again = type(config).model_validate(written, context=dict(subject.context))
    pairs = {name: (getattr(config, name), getattr(again, name)) for name in type(config).model_fields}
    changed = [f"{name} {one!r} became {other!r}" for name, (one, other) in pairs.items() if one != other]
    expect(not changed, "; ".join(changed))


def options_are_described(contract: Contract, subject: Subject, case: None) -> None:
    """Every option has a description, which `plugins show` and editors print."""
    if subject.config is None:
        return
    bare = [name for name, field in type(subject.config).model_fields.items() if not field.description]
    expect(isinstance(subject.config, ComponentConfig), "the config is no ComponentConfig")
    expect(not bare, f"no description: {', '.join(bare)}")
    expect(
        type(subject.config).model_config.get("extra") == SpecModel.model_config["extra"],
        "takes unknown options",
    )


def same_seed_same_result(contract: Contract, subject: Subject, case: Any) -> None:
    """Two components built alike give the same bits."""
    with global_seed(1):
        first = snapshot(_used(contract, subject.fresh(), contract.given(case)))
    with global_seed(1):
        second = snapshot(_used(contract, subject.fresh(), contract.given(case)))
    expect(not (where := difference(first, second)), f"two components of seed 0 differ: {where}")


def no_global_random_numbers(contract: Contract, subject: Subject, case: Any) -> None:
    """The global generators of random, numpy and torch are neither read nor moved; `env.seed` decides."""
    results = []
    for seed in (1, 2):
        with global_seed(seed) as moved:
            results.append(snapshot(_used(contract, subject.fresh(), contract.given(case))))
            touched = moved()
        expect(not touched, f"moved the global generator of {' and '.join(touched)}")
    expect(not (where := difference(*results)), f"the result follows a global generator: {where}")


def inputs_are_left_as_they_were(contract: Contract, subject: Subject, case: Any) -> None:
    """Inputs of a component are the caller's: nothing of them changes."""
    inputs = contract.given(case)
    before = snapshot(inputs)
    _used(contract, subject.fresh(), inputs)
    expect(not (where := difference(before, snapshot(inputs))), f"an input was changed: {where}")


def state_survives_saving(contract: Contract, subject: Subject, case: Any) -> None:
    """A `state_dict`, saved and loaded into a component of another seed, does the same."""
    component, other = subject.fresh(), subject.fresh(seed=1)
    if not hasattr(component, "state_dict"):
        return
    contract.settle(component, contract.given(case))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "state.safetensors"
        save_file({name: value.contiguous().clone() for name, value in component.state_dict().items()}, path)
        other.load_state_dict(load_file(path))
    first, second = (snapshot(contract.act(each, contract.given(case))) for each in (component, other))
    expect(not (where := difference(first, second)), f"restored, it gives something else: {where}")


def weights_are_parameters(contract: Contract, subject: Subject, case: None) -> None:
    """What takes a gradient is a parameter of the component, an nn.Module: no other is trained or saved."""
    component = subject.component
    own = {id(weight) for weight in component.parameters()} if isinstance(component, nn.Module) else set()
    loose = [
        name
        for name, value in getattr(component, "__dict__", {}).items()
        if any(weight.requires_grad and id(weight) not in own for weight in _tensors(value))
    ]
    expect(not loose, f"no parameter: {', '.join(loose)}")


def results_have_type_and_device(contract: Contract, subject: Subject, case: Any) -> None:
    """Tensors that come out are of the type that the interface names, and on the device of `env`."""
    result = _used(contract, subject.fresh(), contract.given(case))
    for name, types in contract.types.items():
        found, wanted = (_type_names([result[name].dtype]), _type_names(types))
        expect(found[0] in wanted, f"{name} is {found[0]}, not {' or '.join(wanted)}")
        if isinstance(result[name], torch.Tensor):
            on = result[name].device.type
            expect(on == torch.device(subject.device).type, f"{name} is on {on}, not on {subject.device}")


def earlier_uses_are_forgotten(contract: Contract, subject: Subject, case: tuple[Any, Any]) -> None:
    """What it was used on before does not matter, nor do the weights that it and the model had then."""
    earlier, now = case
    used, new = subject.fresh(), subject.fresh()
    if isinstance(used, DrawsByRow):
        return  # goes on drawing where it stopped
    for component in (used, new):
        contract.settle(component, contract.given(now))
    with _other_weights(used, tiny.backbone(), tiny.coarse_backbone()):
        contract.act(used, contract.given(earlier))
    first, second = (snapshot(contract.act(each, contract.given(now))) for each in (new, used))
    expect(not (where := difference(first, second)), f"used before, on other weights, it differs: {where}")


SHARED: tuple[tuple[Law, str], ...] = (
    (has_its_interface, "See lasar_kit.core.interfaces for what this kind must have."),
    (nothing_is_raised, "Look at the named place: shapes, types and empty inputs are the usual causes."),
    (options_survive_a_round_trip, "Give every option a plain type that JSON holds."),
    (options_are_described, "Write Field(default, description=…) for every option of a ComponentConfig."),
    (same_seed_same_result, "Seed a generator of your own from env.seed, and walk no unordered sets."),
    (no_global_random_numbers, "Draw from torch.Generator().manual_seed(env.seed), by generator=…."),
    (inputs_are_left_as_they_were, "Work on a clone, and call no method that ends in an underscore."),
    (
        state_survives_saving,
        "Put all that is learned into state_dict: parameters and buffers of an nn.Module.",
    ),
    (
        weights_are_parameters,
        "Assign an nn.Parameter or a module to self, in an nn.Module; lists of them are a ParameterList or "
        "ModuleList.",
    ),
    (
        results_have_type_and_device,
        "Cast results, and make new tensors on the device of what you were given.",
    ),
    (
        earlier_uses_are_forgotten,
        "Compute anew in each call what hangs on its inputs or on weights; training changes both.",
    ),
)
ONCE = (
    has_its_interface,
    options_survive_a_round_trip,
    options_are_described,
    weights_are_parameters,
)
"""Those that no drawn case matters to."""
TRAINED = (
    *("backbone", "latent_loop", "depth_policy", "aligner"),
    *("sft_objective", "rl_objective", "decoder"),
)
"""Kinds of which a training stage trains weights, where they are modules."""
ANY_DRAW = (nothing_is_raised, inputs_are_left_as_they_were, results_have_type_and_device)
"""Those that hold whatever numbers a component draws in training mode."""


def checks(contract: Contract) -> list[Check]:
    """The shared checks that can tell anything of a kind, as checks of it."""
    left_out: dict[Any, bool] = {
        has_its_interface: contract.interface is None,
        inputs_are_left_as_they_were: not contract.changeable,
        state_survives_saving: not contract.learns,
        weights_are_parameters: contract.kind not in TRAINED,
        results_have_type_and_device: not contract.types,
        earlier_uses_are_forgotten: not contract.forgets,
    }
    return [_bound(contract, law, mend) for law, mend in SHARED if not left_out.get(law)]


def _bound(contract: Contract, law: Law, mend: str) -> Check:
    cases, examples = (st.none(), 1) if law in ONCE else (contract.cases, min(contract.examples // 3, 8) or 1)
    cases = _pairs(cases) if law is earlier_uses_are_forgotten else cases
    says = " ".join((law.__doc__ or "").split())
    bound = partial(law, contract)
    return Check(law.__name__, contract.kind, says, mend, bound, cases, examples, law in ANY_DRAW)


@cache
def _pairs(cases: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """One and the same strategy each time, or its examples would be drawn anew for each component."""
    return st.tuples(cases, cases)


def draws_numbers(contract: Contract, subject: Subject, case: Any) -> bool:
    """Whether a component reads the global generators where its mode is what it is, as dropout does."""
    with global_seed(1) as moved:
        _used(contract, subject.fresh(), contract.given(case))
        return bool(moved())


def _used(contract: Contract, component: Any, inputs: Any) -> dict[str, Any]:
    """Return what comes out of a component that is settled and used once."""
    contract.settle(component, inputs)
    return contract.act(component, inputs)


@contextmanager
def _other_weights(*parts: Any) -> Iterator[None]:
    """Modules with other weights, changed in place as an optimizer does, and back to the bit afterwards."""
    weights = [weight for part in parts if isinstance(part, nn.Module) for weight in part.parameters()]
    before = [weight.detach().clone() for weight in weights]
    with torch.no_grad():
        for weight in weights:
            weight.mul_(1.25).add_(0.05)
    try:
        yield
    finally:
        with torch.no_grad():
            for weight, value in zip(weights, before, strict=True):
                weight.copy_(value)


def _tensors(value: Any) -> Iterator[torch.Tensor]:
    """Tensors that an attribute holds, in lists, tables and modules too."""
    if isinstance(value, torch.Tensor):
        yield value
    elif isinstance(value, nn.Module):
        yield from value.parameters()
    elif isinstance(value, (list, tuple, set)):
        for part in value:
            yield from _tensors(part)
    elif isinstance(value, dict):
        yield from _tensors(list(value.values()))


def _type_names(types: Iterable[Any]) -> list[str]:
    return [str(found).removeprefix("torch.") for found in types]


@contextmanager
def global_seed(seed: int) -> Iterator[Callable[[], list[str]]]:
    """Global generators at a seed; what is yielded tells which of them moved. All are put back afterwards."""
    before = random.getstate(), np.random.get_state(), _torch_states()  # noqa: NPY002
    random.seed(seed)
    np.random.seed(seed)  # noqa: NPY002
    torch.default_generator.manual_seed(seed)
    if torch.cuda.is_available():
        torch.cuda.manual_seed_all(seed)  # where there is none, this takes milliseconds
    states = random.getstate(), np.random.get_state(), _torch_states()  # noqa: NPY002

    def moved() -> list[str]:
        now = {
            "random": random.getstate() != states[0],
            "numpy": difference(list(np.random.get_state()), list(states[1])) != "",  # noqa: NPY002
            "torch": any(not torch.equal(*pair) for pair in zip(_torch_states(), states[2], strict=True)),
        }
        return [name for name, changed in now.items() if changed]

    try:
        yield moved
    finally:
        random.setstate(before[0])
        np.random.set_state(before[1])  # noqa: NPY002
        torch.set_rng_state(before[2][0])
        if devices := before[2][1:]:
            torch.cuda.set_rng_state_all(devices)


def _torch_states() -> list[torch.Tensor]:
    """Of the CPU's generator, then of each GPU's."""
    return [torch.get_rng_state(), *(torch.cuda.get_rng_state_all() if torch.cuda.is_available() else [])]
