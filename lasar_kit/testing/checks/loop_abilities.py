"""Laws for latent loops that halt by themselves, and for those that write (`lasar_kit.core.capabilities`)."""

from __future__ import annotations

from typing import Any

import torch
from hypothesis import strategies as st
from torch import Tensor, nn

from lasar_kit.core.capabilities import Halts, Writes
from lasar_kit.core.values import LatentTrace
from lasar_kit.testing import tiny
from lasar_kit.testing.checks.latent_loop import FELT, latent_loop
from lasar_kit.testing.contract import Subject, expect, expect_close
from lasar_kit.testing.strategies import SEEDS, Thinking
from lasar_kit.testing.thinking import Read, answered, read_prompts

__all__ = ["latent_loop"]


def _halted(component: Halts, case: Thinking, depth: Tensor) -> tuple[LatentTrace, Read]:
    read = read_prompts(tiny.backbone(), case)
    return component.halted(tiny.backbone(), read.prompt, depth, case.steps), read


def _ran(component: Any, case: Thinking) -> tuple[LatentTrace, Read]:
    read = read_prompts(tiny.backbone(), case)
    return component.run(tiny.backbone(), read.prompt, torch.tensor(case.depth), case.steps), read


def _is_a_chance(logp: Tensor | None, shape: list[int], name: str) -> None:
    expect(logp is not None, f"{name} is None")
    assert logp is not None
    expect(list(logp.shape) == shape, f"{name} has shape {list(logp.shape)}, not {shape}")
    expect(logp.dtype == torch.float32, f"{name} is {logp.dtype}, not float32")
    expect((logp.isfinite() & (logp <= 0)).all(), f"{name} holds {float(logp.detach().max())}, no log-chance")


@latent_loop.check("Put into `depth` where each branch stopped, into `depth_logp` how likely that was.")
def halting_is_told(subject: Subject, case: Thinking) -> None:
    """A loop that halts says how long it thought, no longer than it was asked to, and how likely that was."""
    if not isinstance(subject.component, Halts):
        return
    trace, _ = _ran(subject.component, case)
    asked = torch.tensor(case.depth)
    expect(trace.depth is not None, "depth is None")
    assert trace.depth is not None
    expect(trace.depth.shape == asked.shape, f"depth has shape {list(trace.depth.shape)}")
    expect(
        ((trace.depth >= 0) & (trace.depth <= asked)).all(), f"depth {trace.depth.tolist()} of {case.depth}"
    )
    _is_a_chance(trace.depth_logp, list(asked.shape), "depth_logp")


@latent_loop.check("Let `halted` take its depths as they are; ask the rule in `run` alone.")
def halted_stops_where_it_is_told(subject: Subject, case: Thinking) -> None:
    """`halted` thinks as long as it is told, wherever the loop itself would stop, and says so."""
    if not isinstance(subject.component, Halts):
        return
    asked = torch.tensor(case.depth)
    trace, _ = _halted(subject.component, case, asked)
    expect(
        trace.depth is not None and torch.equal(trace.depth, asked), f"depth is {trace.depth}, not {asked}"
    )
    count = trace.mask.sum(-1)
    expect(torch.equal(count, asked), f"{count.tolist()} thoughts where {asked.tolist()} were told")
    _is_a_chance(trace.depth_logp, list(asked.shape), "depth_logp")


@latent_loop.check("Think in `halted` as in `run`, and count the same chances.")
def halted_is_what_run_left(subject: Subject, case: Thinking) -> None:
    """At the depths at which the loop stopped, `halted` leaves what `run` left, and calls it as likely."""
    if not isinstance(subject.component, Halts):
        return
    backbone = tiny.backbone()
    ran, read = _ran(subject.component, case)
    if ran.depth is None or ran.depth_logp is None:
        return  # told by another law
    again, other = _halted(subject.component, case, ran.depth)
    assert again.depth_logp is not None
    found, expected = (answered(backbone, trace, case, at) for trace, at in ((again, other), (ran, read)))
    expect_close(found.predictions, expected.predictions, "behind `halted`, not `run`: a prediction is")
    expect_close(again.depth_logp, ran.depth_logp, "of `halted`, not `run`: depth_logp is")


@latent_loop.check("Compute `depth_logp` in `halted` with gradients: no torch.no_grad, no .detach().")
def a_chance_to_halt_has_a_gradient(subject: Subject, case: Thinking) -> None:
    """Where stopping was not certain, the log-probability of `halted` passes a gradient on."""
    if not isinstance(subject.component, Halts):
        return
    trace, read = _halted(subject.component, case, torch.tensor(case.depth))
    if trace.depth_logp is None or not trace.depth_logp.detach().any():
        return
    own = list(subject.component.parameters()) if isinstance(subject.component, nn.Module) else []
    expect(trace.depth_logp.requires_grad, "depth_logp has no gradient")
    grads = torch.autograd.grad(trace.depth_logp.sum(), [read.inputs, *own], allow_unused=True)
    expect(
        any(grad is not None and grad.any() for grad in grads), "the gradient of depth_logp reaches nothing"
    )


def _text(seed: int) -> Thinking:
    """Four prompts of three tokens, to be written behind, of which no two are the same."""
    prompts = [[3 + (seed + 3 * row + place * (row + 1)) % 11 for place in range(3)] for row in range(4)]
    return Thinking(prompts, [[2]] * 4, [[1]] * 4, [[5]] * 4)


TEXTS = st.builds(_text, SEEDS)


def _spelled(component: Writes, case: Thinking, written: Tensor) -> tuple[LatentTrace, Read]:
    read = read_prompts(tiny.backbone(), case)
    return component.spell(tiny.backbone(), read.prompt, written), read


@latent_loop.check("Fill up `written` with -1 and `written_logp` with 0, behind the last token.")
def written_is_told(subject: Subject, case: Thinking) -> None:
    """A loop that writes leaves tokens, then -1; each has its log-probability, what is past the end 0."""
    if not isinstance(subject.component, Writes):
        return
    trace, _ = _ran(subject.component, case)
    expect(trace.written is not None, "written is None")
    assert trace.written is not None
    rows, branches = len(case.depth), len(case.depth[0])
    expect(list(trace.written.shape[:2]) == [rows, branches], f"written is {list(trace.written.shape)}")
    wrote, size = trace.written >= 0, len(tiny.backbone().tokenizer)
    expect((trace.written < size).all(), f"written holds {int(trace.written.max())} of {size} tokens")
    expect((wrote.int().diff(dim=-1) <= 0).all(), "tokens stand behind the end of a text")
    _is_a_chance(trace.written_logp, list(trace.written.shape), "written_logp")
    assert trace.written_logp is not None
    expect(not trace.written_logp[~wrote].any(), "written_logp is not 0 behind the end of a text")


@latent_loop.check("Let `run` end in `spell` of what it wrote.", cases=TEXTS, examples=5)
def spelled_is_what_was_written(subject: Subject, case: Thinking) -> None:
    """`spell` of what was written leaves that text, as likely as it was, and the same predictions."""
    if not isinstance(subject.component, Writes):
        return
    backbone = tiny.backbone()
    ran, read = _ran(subject.component, case)
    assert ran.written is not None
    assert ran.written_logp is not None
    again, other = _spelled(subject.component, case, ran.written)
    expect(again.written is not None and torch.equal(again.written, ran.written), "another text is left")
    assert again.written_logp is not None
    found, expected = (answered(backbone, trace, case, at) for trace, at in ((again, other), (ran, read)))
    expect_close(found.predictions, expected.predictions, "behind `spell`, not `run`: a prediction is")
    expect_close(again.written_logp, ran.written_logp, "of `spell`, not `run`: written_logp is")


@latent_loop.check("Read in `spell` the tokens that are given.", cases=TEXTS, examples=5)
def another_text_is_read(subject: Subject, case: Thinking) -> None:
    """`spell` of the text of another prompt leaves that text, and other predictions than the prompt's own."""
    if not isinstance(subject.component, Writes):
        return
    backbone = tiny.backbone()
    ran, read = _ran(subject.component, case)
    assert ran.written is not None
    others = ran.written.roll(1, dims=0)
    trace, at = _spelled(subject.component, case, others)
    expect(
        trace.written is not None and torch.equal(trace.written, others), "another text is left than given"
    )
    own, moved = (answered(backbone, one, case, its) for one, its in ((ran, read), (trace, at)))
    differs = (others != ran.written).any(-1)
    gap = (moved.predictions - own.predictions).detach().abs().flatten(2).amax(-1)
    expect((gap > FELT)[differs].all(), "two texts lead to the same predictions")


@latent_loop.check("Spell with gradients: no torch.no_grad, no .detach().", cases=TEXTS, examples=5)
def a_text_has_a_gradient(subject: Subject, case: Thinking) -> None:
    """The log-probability of a text passes its gradient to the prompt's last token."""
    if not isinstance(subject.component, Writes):
        return
    ran, _ = _ran(subject.component, case)
    assert ran.written is not None
    trace, read = _spelled(subject.component, case, ran.written)
    assert trace.written_logp is not None
    doubtful = (trace.written_logp < 0).any(-1)[:, 0]
    if not doubtful.any():
        return
    expect(trace.written_logp.requires_grad, "written_logp has no gradient")
    (gradient,) = torch.autograd.grad(trace.written_logp.sum(), [read.inputs], allow_unused=True)
    reached = torch.zeros_like(doubtful) if gradient is None else gradient[:, -1].any(-1)
    expect(reached[doubtful].all(), "the gradient of written_logp does not reach the prompt's last token")
