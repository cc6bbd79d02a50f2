"""Alignment where the answer is predicted, after CODI (arXiv:2502.21074)."""

import torch

from lasar_kit.core.values import Anchors, Context, Env, LatentTrace
from lasar_plugins.aligner.standard.aligners import Terminal
from lasar_plugins.aligner.standard.config import TerminalConfig


def test_the_state_that_predicts_the_answer_is_held_to_the_last_segment() -> None:
    """Row 1 has no segment, row 2 no thought: neither has a loss."""
    last = torch.tensor([[[1.0, 5.0]], [[9.0, 9.0]], [[9.0, 9.0]]], requires_grad=True)
    states = torch.full((3, 1, 2, 2), 7.0, requires_grad=True)
    thought = torch.tensor([[[True, False]], [[True, True]], [[False, False]]])
    trace = LatentTrace(states, thought, last, torch.zeros(3, 1, dtype=torch.int64), Context())
    targets = torch.tensor([[0.0, 0.0], [4.0, 4.0], [50.0, 50.0]]).expand(3, 1, 3, 2)
    there = torch.tensor([[[True, True, False]], [[False] * 3], [[True] * 3]])
    aligner = Terminal(TerminalConfig(use="terminal", at="answer", distance="l1"), Env())
    loss = aligner.loss(trace, Anchors(targets, there))
    # Against segment 2 of row 0: the mean of |1 - 4| and |5 - 4|.
    torch.testing.assert_close(loss, torch.tensor([[2.0], [0.0], [0.0]]))
    loss.sum().backward()
    assert last.grad is not None
    assert last.grad.flatten(1).tolist() == [[-0.5, 0.5], [0.0, 0.0], [0.0, 0.0]]
    assert states.grad is None
