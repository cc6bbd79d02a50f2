"""Log-probabilities of candidate tokens against torch's log-softmax."""

from __future__ import annotations

import torch

from lasar_kit.core.scoring import candidate_logp

LOGITS = torch.randn(3, 7, generator=torch.Generator().manual_seed(0))
PLACES = torch.tensor([[0, 2, 5], [1, 1, 6], [3, 4, 0]])
ALLOWED = torch.tensor([[True, True, True], [True, False, True], [False, False, False]])


def test_vocabulary_score_is_the_log_softmax_of_allowed_tokens() -> None:
    got = candidate_logp(LOGITS, LOGITS.gather(1, PLACES), ALLOWED, "vocabulary")
    expected = LOGITS.log_softmax(-1).gather(1, PLACES).masked_fill(~ALLOWED, -torch.inf)
    torch.testing.assert_close(got, expected)


def test_trie_score_is_the_log_softmax_over_allowed_tokens() -> None:
    got = candidate_logp(LOGITS, LOGITS.gather(1, PLACES), ALLOWED, "trie")
    torch.testing.assert_close(got[0], LOGITS[0, [0, 2, 5]].log_softmax(-1))
    torch.testing.assert_close(got[1, [0, 2]], LOGITS[1, [1, 6]].log_softmax(-1))
    assert got[1, 1] == -torch.inf
    assert bool((got[2] == -torch.inf).all())


def test_scores_are_float32_and_gradients_finite() -> None:
    for score in ("vocabulary", "trie"):
        logits = LOGITS.bfloat16().requires_grad_()
        got = candidate_logp(logits, logits.gather(1, PLACES), ALLOWED, score)
        assert got.dtype == torch.float32
        (gradient,) = torch.autograd.grad(got[ALLOWED].sum(), logits)
        assert bool(gradient.isfinite().all())
        assert bool((gradient[2] == 0).all())
        assert float(gradient[0].abs().sum()) > 0
