"""A contract: checks, the component they are held against, and what comes out."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeVar

import torch
from torch import Tensor, nn

from lasar_kit.core.environment import given
from lasar_kit.core.values import Env
from lasar_kit.testing import tiny
from lasar_kit.testing.compare import TOLERANCE, close, furthest

if TYPE_CHECKING:
    from hypothesis.strategies import SearchStrategy

    from lasar_kit.spec import ComponentConfig

Law = TypeVar("Law", bound=Callable[..., None])


class Broken(AssertionError):
    """A law that a component breaks; says what was found, with numbers."""


def expect(holds: object, found: str) -> None:
    """Raise `Broken` with what was found unless the law holds."""
    if not holds:
        raise Broken(found)


def expect_close(found: Tensor, expected: Tensor, what: str, tolerance: float = TOLERANCE) -> None:
    """Raise `Broken` with the place where two tensors are furthest apart unless they are nearly equal."""
    if not close(found, expected, tolerance):
        raise Broken(f"{what} {furthest(found, expected)}")


def _moved_from_zero(component: nn.Module) -> None:
    """Move weights that are all zero, as the first update does: what they are multiplied by is not felt."""
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for weight in component.parameters():
            if not weight.any():
                weight.add_(0.3 * torch.randn(weight.shape, generator=generator).to(weight))


@dataclass
class Subject:
    """A component under test: how to build it, and what it is called in messages."""

    kind: str
    name: str
    make: Callable[[Env], Any]
    config: ComponentConfig | None = None
    context: Mapping[str, Any] = field(default_factory=dict)
    """The context that validating its config needs."""
    device: str = "cpu"
    share: float = 1.0
    """How many of a check's examples are drawn, as a share of them."""
    training: bool = False
    """Whether its components are in training mode; drawn for each example."""
    draws: str | None = None
    """Its draws in training mode, once they are known: nothing or numbers."""
    crashes: dict[str, str] = field(default_factory=dict)
    """Its exceptions and their places, with the check that told so."""

    def fresh(self, seed: int = 0, **surroundings: Any) -> Any:
        """A component of its own, in the mode at hand; `surroundings` replace fields of `Env`."""
        env = replace(tiny.environment(), seed=seed, device=self.device, **surroundings)
        component = self.make(given(self.kind, env))
        if isinstance(component, nn.Module):
            component.to(self.device).train(self.training)
            if self.kind == "depth_policy":
                _moved_from_zero(component)
        return component

    @property
    def component(self) -> Any:
        """One component for all checks that change nothing of it: some are slow to build."""
        if isinstance(self._built, nn.Module) and self._built.training != self.training:
            self._built.train(self.training)
        return self._built

    @cached_property
    def _built(self) -> Any:
        return self.fresh()

    @property
    def exceptions(self) -> Mapping[str, str]:
        """Checks that the component, with these options, declares to break, and why: its attribute
        `contract_exceptions`; none of one that cannot be built."""
        try:
            return getattr(self.component, "contract_exceptions", {})
        except Exception:  # told by every check
            return {}


@dataclass(frozen=True)
class Check:
    """One law of a kind of component.

    `law(subject, case)` raises if it is broken; `cases` draws what it is tried on. `mend` says what to do.
    `any_draw` says that it holds in training mode for a component that draws numbers there (dropout).
    """

    name: str
    kind: str
    says: str
    mend: str
    law: Callable[[Subject, Any], None]
    cases: SearchStrategy[Any]
    examples: int
    any_draw: bool = False


@dataclass(frozen=True)
class Result:
    """How a check went; `found` and `example` are empty where it passed.

    `expected` is the reason where the component declares that it breaks this law. `crash` names what was
    raised and where, if anything was; `untried` the check that told of the same crash already.
    """

    check: Check
    passed: bool
    found: str = ""
    example: str = ""
    expected: str = ""
    crash: str = ""
    untried: str = ""

    @property
    def ok(self) -> bool:
        """Whether it went as it should: an expected failure that passes did not."""
        return self.passed != bool(self.expected)

    @property
    def message(self) -> str:
        """One or two lines: what was found on which example, and what to do; empty where all is well."""
        if self.ok:
            return ""
        if self.passed:
            return f"{self.check.name} passed, but is declared to fail: {self.expected}"
        if self.untried:
            return f"{self.check.name}: not tried: it raises what {self.untried} tells"
        example = f" [{self.example}]" if self.example else ""
        return f"{self.check.name}: {self.found}{example}\n{self.check.mend}"


class Contract:
    """The checks of one kind, and how a component of that kind is put to use.

    `given(case)` makes the inputs of a case; `act(component, inputs)` uses a component once and returns what
    came out by name, for the checks that all kinds share; `settle(component, inputs)` comes before, where a
    component is not ready for use once it is built. `types` are those that results may have, `changeable`
    says whether inputs could be changed at all, `learns` whether a component may hold state that is saved,
    `trains` whether training puts it into training mode, `forgets` whether a use of it may leave nothing
    behind.
    Hooks have no `interface`: they implement what they want of many.
    """

    def __init__(
        self,
        kind: str,
        interface: type | None,
        cases: SearchStrategy[Any],
        given: Callable[[Any], Any],
        act: Callable[[Any, Any], dict[str, Any]],
        *,
        settle: Callable[[Any, Any], None] = lambda component, inputs: None,
        types: Mapping[str, tuple[Any, ...]] | None = None,
        changeable: bool = True,
        learns: bool = False,
        trains: bool = False,
        forgets: bool = False,
        examples: int = 25,
    ) -> None:
        self.kind, self.interface, self.cases = kind, interface, cases
        self.given, self.act, self.settle = given, act, settle
        self.types = types or {}
        self.changeable, self.learns, self.trains = changeable, learns, trains
        self.forgets = forgets
        self.examples = examples
        self.checks: list[Check] = []

    def check(
        self, mend: str, cases: SearchStrategy[Any] | None = None, examples: int | None = None
    ) -> Callable[[Law], Law]:
        """Decorator that adds a plain function to the contract, under its own name."""

        def add(law: Law) -> Law:
            says = " ".join((law.__doc__ or "").split("\n\n")[0].split())
            chosen = self.cases if cases is None else cases
            count = examples or self.examples
            self.checks.append(Check(law.__name__, self.kind, says, mend, law, chosen, count))
            return law

        return add
