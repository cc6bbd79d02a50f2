"""What benchmarks/gpu.py checks of a GPU, as tests: it computes what the CPU does, and keeps every law.

LASAR_TEST_DEVICE=cuda python -m pytest tests/cuda
"""

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers.models.qwen3.modeling_qwen3 import Qwen3RMSNorm

from lasar_plugins.backbone.qwen3.norm import fused
from tests.benchmarks import importing

pytestmark = [
    pytest.mark.skipif(
        os.environ.get("LASAR_TEST_DEVICE") != "cuda",
        reason="LASAR_TEST_DEVICE=cuda asks for the tests of a GPU; all others hide it",
    ),
    pytest.mark.skipif(
        os.environ.get("LASAR_TEST_DEVICE") == "cuda" and not torch.cuda.is_available(),
        reason="torch sees no GPU",
    ),
]
STAGES = (
    "sft packed",
    "sft packed trie",
    "sft sliding thinking",
    "sft packed thinking",
    "sft sliding bsarec",
    "sft sliding rearec",
    "sft sliding pause",
    "rl step",
    "rollout trie_beam",
    "rollout trie_sample",
    "rollout trie_sample distinct",
    "decode",
    "decode trie",
    "anchors",
)
BACKBONES = ("qwen3", "sasrec", "gru4rec", "hf_causal llama", "hf_causal gemma2")


@pytest.fixture(scope="module")
def correct() -> Iterator[Any]:
    """benchmarks/gpu_parts/correct.py, float32 being float32."""
    with importing() as load:
        module = load("gpu_parts.correct")
        torch.set_float32_matmul_precision("highest")
        yield module


@pytest.fixture(scope="module")
def where(correct: Any) -> Iterator[dict[str, Path]]:
    """Folders of tiny models."""
    with correct.folders() as found:
        yield found


def test_no_stage_and_no_backbone_is_forgotten(correct: Any, where: dict[str, Path]) -> None:
    assert tuple(correct.stages(where)) == STAGES
    assert tuple(correct.BACKBONES) == BACKBONES


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("name", STAGES)
def test_a_stage_computes_what_it_does_on_the_cpu(
    correct: Any, where: dict[str, Path], name: str, precision: str
) -> None:
    holds(correct.check_stage("cuda", name, where, precision))


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("name", BACKBONES)
def test_a_backbone_reads_what_it_does_on_the_cpu(
    correct: Any, where: dict[str, Path], name: str, precision: str
) -> None:
    holds(correct.check_backbone("cuda", name, where, precision))


def test_built_in_components_keep_their_laws(correct: Any) -> None:
    pytest.importorskip("hypothesis")
    from gpu_parts import laws

    from lasar_kit.testing import check_component

    broken = [
        f"{kind} {table}: {result.message}"
        for kind, tables in laws.CONTRACTS.items()
        for table in tables
        for result in check_component(kind, table["use"], options(table), device="cuda")
        if not result.ok
    ]
    assert broken == []


def options(table: dict[str, Any]) -> dict[str, Any]:
    """Without the component's name."""
    return {name: value for name, value in table.items() if name != "use"}


def holds(check: Callable[[], dict[str, Any]]) -> None:
    """A check that passes, or its numbers."""
    found = check()
    assert found["passed"], found


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_the_norm_of_a_gpu_is_transformers_own_under_autocast(dtype: torch.dtype) -> None:
    """To the same type, in what rounding leaves."""
    norm = Qwen3RMSNorm(64).cuda()
    norm.weight.data.normal_(1.0, 0.3)
    x = torch.randn(7, 64, device="cuda", dtype=dtype)
    with torch.autocast("cuda", torch.bfloat16):
        theirs, ours = norm(x), fused(norm.weight, x, norm.variance_epsilon)
    assert ours.dtype == theirs.dtype
    assert torch.allclose(ours, theirs, rtol=1e-2 if dtype == torch.bfloat16 else 1e-5, atol=1e-5)
