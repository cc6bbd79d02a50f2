"""The norm that GPUs get is transformers' own, forwards and backwards; CPUs keep that."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor
from transformers.models.qwen3.modeling_qwen3 import Qwen3RMSNorm

from lasar_plugins.backbone.qwen3.norm import FusedRMSNorm, fuse_norms, fused


def drawn(dtype: torch.dtype) -> tuple[Qwen3RMSNorm, Tensor, Tensor]:
    """A norm of drawn weights, an input, and what its output is weighed by."""
    generator = torch.Generator().manual_seed(0)
    norm = Qwen3RMSNorm(16, eps=1e-3)
    norm.weight.data.normal_(1.0, 0.3, generator=generator)
    x = torch.randn(3, 5, 16, generator=generator).mul(0.1).to(dtype).requires_grad_()
    return norm, x, torch.randn(3, 5, 16, generator=generator)


@pytest.mark.parametrize(("dtype", "gap"), [(torch.float32, 1e-6), (torch.bfloat16, 1e-2)])
def test_the_kernel_is_the_norm(dtype: torch.dtype, gap: float) -> None:
    """Weights of float32 on what autocast makes bf16 as well; the mean of squares is not that of bf16."""
    norm, x, by = drawn(dtype)
    ways = []
    for output in (norm(x), fused(norm.weight, x, norm.variance_epsilon)):
        ways.append((output, *torch.autograd.grad((output * by).sum(), [x, norm.weight])))
    for theirs, ours in zip(*ways, strict=True):
        assert ours.dtype == theirs.dtype
        assert torch.allclose(ours, theirs, rtol=gap, atol=gap)


def test_the_norms_of_a_model_are_of_that_class_and_the_same_on_a_cpu() -> None:
    norm, x, _ = drawn(torch.float32)
    model = torch.nn.Sequential(torch.nn.Linear(16, 16), copy.deepcopy(norm))
    fuse_norms(model)
    assert isinstance(model[1], FusedRMSNorm)
    assert torch.equal(model[1](x), norm(x))
    assert list(model.state_dict()) == ["0.weight", "0.bias", "1.weight"]


def test_elsewhere_it_is_the_kernel(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Qwen3RMSNorm, "forward", None)
    norm = FusedRMSNorm(16).to("meta")
    assert norm(torch.zeros(2, 16, device="meta")).shape == (2, 16)
