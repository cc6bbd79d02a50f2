"""Laws for every backbone: it reads a token tree, and nothing else."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import torch
from hypothesis import strategies as st
from jaxtyping import Float
from torch import Tensor

from lasar_kit.core.capabilities import FillsGaps
from lasar_kit.core.interfaces import Backbone
from lasar_kit.testing import tiny
from lasar_kit.testing.compare import furthest
from lasar_kit.testing.contract import Contract, Subject, expect, expect_close
from lasar_kit.testing.strategies import SEEDS, Tree, numbers, trees

WIDEST = 8192
"""Hidden width up to which backbones are tried."""
LONG = 40
"""Tokens of a long chain."""
PICKLES = (".bin", ".ckpt", ".pkl", ".pt", ".pth")


def _given(case: Tree) -> dict[str, Any]:
    rows, nodes = len(case.parents), len(case.parents[0])
    parent = torch.tensor(case.parents)
    return {"inputs": numbers(rows, nodes, WIDEST, seed=case.seed), "parent": parent, "cuts": case.cuts}


def _act(component: Any, inputs: dict[str, Any]) -> dict[str, Any]:
    like = component.embed(torch.zeros(1, dtype=torch.int64))
    fed = inputs["inputs"][..., : component.hidden_size].to(like.dtype)
    with torch.no_grad():
        states = in_calls(component, fed, inputs["parent"], inputs["cuts"])
        return {"states": states, "logits": component.logits(states)}


TYPES = {"states": (torch.float32, torch.bfloat16), "logits": (torch.float32, torch.bfloat16)}
backbone = Contract(
    "backbone", Backbone, trees(), _given, _act, types=TYPES, learns=True, trains=True, examples=12
)


def in_calls(component: Any, inputs: Tensor, parent: Tensor, cuts: list[int]) -> Float[Tensor, "B Q D"]:
    """States of all tokens, read in several calls."""
    states, context, begin = [], None, 0
    for end in cuts:
        hidden, context = component.advance(inputs[:, begin:end], parent[:, begin:end], context)
        states.append(hidden)
        begin = end
    return torch.cat(states, dim=1)


def _inputs(subject: Subject, case: Tree) -> tuple[Tensor, Tensor]:
    """Inputs in the type of the model's weights, and parents."""
    given = _given(case)
    like = subject.component.embed(torch.zeros(1, dtype=torch.int64))
    return given["inputs"][..., : subject.component.hidden_size].to(like.dtype), given["parent"]


def _tolerance(states: Tensor) -> float:
    return 1e-4 if states.dtype == torch.float32 else 0.05


def _states(subject: Subject, inputs: Tensor, parent: Tensor, cuts: list[int]) -> Tensor:
    with torch.no_grad():
        return in_calls(subject.component, inputs, parent, cuts)


@backbone.check(
    "Let a token see its ancestors and itself; its position is its parent's plus one, a root's 0."
)
def a_path_is_read_as_if_it_stood_alone(subject: Subject, case: Tree) -> None:
    """A token's state is that of the last token of its own path, read as a plain chain."""
    inputs, parent = _inputs(subject, case)
    states = _states(subject, inputs, parent, case.cuts)
    for b, row in enumerate(case.parents):
        for node in range(len(row)):
            path = case.ancestors(b, node)
            chain = torch.arange(-1, len(path) - 1)[None]
            alone = _states(subject, inputs[b, path][None], chain, [len(path)])[0, -1]
            expect_close(
                states[b, node], alone, f"node {node} of row {b}, path {path}: a state is", _tolerance(alone)
            )


@backbone.check("Give keys and values of earlier calls the same positions and masks as those of this call.")
def calls_may_be_cut_anywhere(subject: Subject, case: Tree) -> None:
    """Tokens read in several calls have the states they have when read in one."""
    inputs, parent = _inputs(subject, case)
    whole = _states(subject, inputs, parent, [inputs.shape[1]])
    cut = _states(subject, inputs, parent, case.cuts)
    expect_close(cut, whole, f"calls end at {case.cuts}: a state is", _tolerance(whole))


@backbone.check("Copy the cache, or build a new one from the old tensors, before you append to it.")
def past_is_left_as_it_was(subject: Subject, case: Tree) -> None:
    """A context may be advanced again, after other tokens were read from it, and gives the same."""
    inputs, parent = _inputs(subject, case)
    end, component = case.cuts[0], subject.component
    with torch.no_grad():
        _, past = component.advance(inputs[:, :end], parent[:, :end], None)
        rest = inputs[:, end:], parent[:, end:]
        first, grown = component.advance(*rest, past)
        component.advance(-rest[0], torch.full_like(rest[1], end - 1), past)
        again, _ = component.advance(*rest, past)
    lengths = (past.length, grown.length)
    expect(lengths == (end, inputs.shape[1]), f"contexts hold {lengths} nodes, not {(end, inputs.shape[1])}")
    expect(torch.equal(first, again), f"read again from the same past: a state is {furthest(again, first)}")


@backbone.check("Mask left pads for all others: they are roots that nobody descends from.")
def left_pads_change_nothing(subject: Subject, case: Tree) -> None:
    """A chain behind left pads has the states it has without them."""
    inputs, _ = _inputs(subject, case)
    length, pads = inputs.shape[1], 2
    alone = _states(subject, inputs, torch.arange(-1, length - 1).expand(len(inputs), -1), [length])
    padded = torch.cat([3 * inputs[:, :1].expand(-1, pads, -1), inputs], dim=1)
    chain = torch.cat([torch.full((pads + 1,), -1), torch.arange(pads, pads + length - 1)])
    beside = _states(subject, padded, chain.expand(len(inputs), -1), [length + pads])[:, pads:]
    expect_close(beside, alone, f"behind {pads} pads a state is", _tolerance(alone))


@backbone.check("Mask by ancestors, not by order: siblings, cousins and other rows are not seen.")
def only_descendants_feel_a_token(subject: Subject, case: Tree) -> None:
    """Another input at a token changes its own state, and none that does not descend from it."""
    inputs, parent = _inputs(subject, case)
    states = _states(subject, inputs, parent, case.cuts)
    node = case.seed % inputs.shape[1]
    changed = inputs.clone()
    changed[0, node] += torch.linspace(0.5, 1.5, inputs.shape[-1]).to(inputs.dtype)
    moved = (_states(subject, changed, parent, case.cuts) - states).abs().amax(-1)
    expect(moved[0, node] > 1e-3, f"another input at node {node} leaves its own state as it was")
    for b, row in enumerate(case.parents):
        blind = [q for q in range(len(row)) if b > 0 or node not in case.ancestors(b, q)]
        gap = float(moved[b, blind].max()) if blind else 0.0
        expect(
            gap < 1e-4,
            f"another input at node {node} of row 0 moves row {b}, which it is no ancestor in, by {gap:.3g}",
        )


@backbone.check("Give tokens positions: the number of their ancestors.")
def order_of_tokens_is_felt(subject: Subject, case: Tree) -> None:
    """Two tokens in the other order give what follows them another state."""
    inputs, _ = _inputs(subject, case)
    # Several rows, since for a single one the difference may happen to be small.
    rows = numbers(5, 3, inputs.shape[-1], seed=case.seed).to(inputs.dtype)
    chain = torch.tensor([[-1, 0, 1]]).expand(5, -1)
    one, other = (_states(subject, rows[:, order], chain, [3])[:, -1] for order in ([0, 1, 2], [1, 0, 2]))
    gap = float((one - other).abs().max())
    expect(gap > 1e-4, f"the first two tokens exchanged move the third's state by {gap:.3g}")


@backbone.check(
    "Let positions and masks grow with the chain: cap, wrap or window none.", cases=SEEDS, examples=2
)
def a_chain_of_forty_tokens_is_read(subject: Subject, case: int) -> None:
    """Forty tokens are read alike whole, in calls, behind pads and on a branch; first and last are felt."""
    like = subject.component.embed(torch.zeros(1, dtype=torch.int64))
    inputs = numbers(2, LONG, subject.component.hidden_size, seed=case).to(like.dtype)
    chain = torch.arange(-1, LONG - 1)
    whole = _states(subject, inputs, chain.expand(2, -1), [LONG])
    parents = {
        "in calls": chain,
        "behind 3 pads": torch.cat([torch.full((4,), -1), torch.arange(3, LONG + 2)]),
        "on a second branch": torch.cat(
            [chain, torch.tensor([LONG // 2 - 1]), torch.arange(LONG, 3 * LONG // 2 - 1)]
        ),
    }
    for how, parent in parents.items():
        more = len(parent) - LONG
        fed = torch.cat([inputs[:, :more] * 2, inputs], dim=1)
        if how == "on a second branch":
            fed = torch.cat([inputs[:, : LONG // 2], 2 * inputs[:, :more], inputs[:, LONG // 2 :]], dim=1)
        states = _states(subject, fed, parent.expand(2, -1), [13, 26, len(parent)])[:, -10:]
        expect_close(states, whole[:, -10:], f"token {LONG} {how}: a state is", _tolerance(whole))
    turned = torch.arange(LONG)
    turned[[-4, -3]] = turned[[-3, -4]]
    moved = _states(subject, inputs[:, turned], chain.expand(2, -1), [LONG])[:, -1] - whole[:, -1]
    # Exchanged addends may round otherwise.
    expect(moved.abs().max() > 1e-5, f"tokens 37 and 38 exchanged leave token {LONG} as it is")
    # The first token may be felt so faintly that it is lost where states are rounded; its gradient is not.
    inputs.requires_grad_()
    last = in_calls(subject.component, inputs, chain.expand(2, -1), [LONG])[:, -1].float()
    (felt,) = torch.autograd.grad((last * numbers(*last.shape, seed=case)).sum(), inputs)
    expect(bool(felt[:, 0].any()), f"the state of token {LONG} hangs on the first token not at all")


@backbone.check("Keep the graph of cached keys and values: no .detach(), no .data, no torch.no_grad.")
def gradients_run_through_the_context(subject: Subject, case: Tree) -> None:
    """Gradients of what is read from a context reach the inputs of the calls before."""
    results = []
    for cuts in ([len(case.parents[0])], case.cuts):
        inputs, parent = _inputs(subject, case)
        inputs = inputs.clone().requires_grad_()
        states = in_calls(subject.component, inputs, parent, cuts)[:, case.cuts[-2] :]
        loss = (states.float() * numbers(*states.shape, seed=7)).sum()
        expect(loss.requires_grad, "states have no gradient")
        results.append(torch.autograd.grad(loss, inputs, allow_unused=True)[0])
    whole, cut = (torch.zeros(1) if found is None else found for found in results)
    expect_close(cut, whole, f"calls end at {case.cuts}: a gradient is", 10 * _tolerance(whole))


@backbone.check("Return rows of the output head for `tokens`, in their order.", cases=SEEDS, examples=3)
def logits_of_some_tokens_are_those_of_all(subject: Subject, case: int) -> None:
    """`logits(hidden, tokens)` holds the columns of `logits(hidden)` that `tokens` name."""
    like = subject.component.embed(torch.zeros(1, dtype=torch.int64))
    hidden = numbers(2, 3, subject.component.hidden_size, seed=case).to(like.dtype)
    with torch.no_grad():
        every = subject.component.logits(hidden)
        known = len(subject.component.tokenizer)
        expect(every.shape[-1] >= known, f"{every.shape[-1]} logits for {known} tokens")
        tokens = torch.tensor([known - 1, 0, known // 2])
        some = subject.component.logits(hidden, tokens)
    expect_close(some, every[..., tokens], "a logit is", _tolerance(some))


@backbone.check("Add each of env.vocabulary to the tokenizer as one token.", cases=st.none(), examples=1)
def vocabulary_is_held(subject: Subject, case: None) -> None:
    """Each token of `env.vocabulary` has an id of its own and an embedding."""
    tokenizer, tokens = subject.component.tokenizer, tiny.environment().vocabulary
    ids = [tokenizer.convert_tokens_to_ids(token) for token in tokens]
    back = [tokenizer.convert_ids_to_tokens(index) for index in ids]
    wrong = [token for token, found in zip(tokens, back, strict=True) if token != found]
    expect(not wrong, f"the tokenizer does not know {', '.join(wrong)}")
    vectors = subject.component.embed(torch.tensor(ids))
    shape = [len(tokens), subject.component.hidden_size]
    expect(list(vectors.shape) == shape, f"embeddings of shape {list(vectors.shape)}, not {shape}")


@backbone.check("Average the norms of the embedding table, detached.", cases=st.none(), examples=1)
def embedding_norm_is_the_mean(subject: Subject, case: None) -> None:
    """`embedding_norm` is the mean norm of all embeddings, without gradient."""
    component = subject.component
    rows = component.logits(
        torch.zeros(1, component.hidden_size, dtype=component.embed(torch.tensor(0)).dtype)
    )
    table = component.embed(torch.arange(rows.shape[-1])).detach().float()
    found = component.embedding_norm()
    expect(not found.requires_grad, "it has a gradient")
    mean = table.norm(dim=-1).mean()
    expect_close(found, mean, "it is", 1e-3)


@backbone.check(
    "Put one vector in place of all masked tokens; keep what is not real out of attention.",
    cases=SEEDS,
    examples=3,
)
def hidden_tokens_are_not_felt(subject: Subject, case: int) -> None:
    """States of a backbone that fills gaps hang on no token that is masked or not real, but on all others."""
    if not isinstance(subject.component, FillsGaps):
        return
    draw = torch.Generator().manual_seed(case)
    ids, real = torch.randint(3, 7, (2, 6), generator=draw), torch.arange(6).expand(2, 6) > 0
    masked = real & (torch.arange(6) == torch.tensor([[3], [4]]))
    with torch.no_grad():
        states, hidden, seen = (
            subject.component.fill(torch.where(there, 10 - ids, ids), real, masked)[real]
            for there in (torch.zeros_like(real), masked | ~real, torch.arange(6).expand(2, 6) == 1)
        )
    expect_close(hidden, states, "with other tokens where they are hidden, a state is", _tolerance(states))
    expect(not torch.equal(seen, states), "another token that is to be read changes nothing")


@backbone.check(
    "Write all weights as safetensors in save; read env.checkpoint in the constructor.", examples=2
)
def saved_backbone_is_restored(subject: Subject, case: Tree) -> None:
    """A saved backbone, named by `env.checkpoint`, gives the same states, logits and tokens; no pickles."""
    inputs, parent = _inputs(subject, case)
    with tempfile.TemporaryDirectory() as folder:
        subject.component.save(Path(folder))
        pickles = [path.name for path in Path(folder).rglob("*") if path.suffix in PICKLES]
        expect(not pickles, f"save wrote {', '.join(pickles)}")
        again = subject.fresh(seed=1, checkpoint=Path(folder))
    with torch.no_grad():
        found = again.logits(in_calls(again, inputs, parent, case.cuts))
        expected = subject.component.logits(_states(subject, inputs, parent, case.cuts))
    expect_close(found, expected, "restored, a logit is", _tolerance(expected))
    tokens = (again.tokenizer.get_vocab(), subject.component.tokenizer.get_vocab())
    expect(tokens[0] == tokens[1], f"restored, it has {len(tokens[0])} tokens, of {len(tokens[1])} saved")
