"""Settings of the environment that would change results without a word in the spec are refused."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from lasar_kit.catalogue import Catalogue
from lasar_kit.errors import UserError
from lasar_kit.process.environment import REFUSED, check_environment
from lasar_kit.run import runner
from lasar_kit.serve.recommend import LoadedRun
from lasar_kit.spec import load_spec

DOCS = Path(__file__).parents[2] / "docs"
HARMFUL = {
    "ACCELERATE_MIXED_PRECISION": ("bf16", "fp16", "fp8"),
    "ACCELERATE_DYNAMO_BACKEND": ("INDUCTOR", "eager"),
    "ACCELERATE_GRADIENT_ACCUMULATION_STEPS": ("2",),
    "ACCELERATE_USE_DEEPSPEED": ("true",),
    "ACCELERATE_USE_MEGATRON_LM": ("true",),
    "ACCELERATE_USE_PARALLELISM_CONFIG": ("true",),
    "FSDP_ACTIVATION_CHECKPOINTING": ("true",),
    "FSDP_CPU_RAM_EFFICIENT_LOADING": ("true", "1"),
    "DNNL_DEFAULT_FPMATH_MODE": ("BF16", "ANY"),
    "ONEDNN_DEFAULT_FPMATH_MODE": ("TF32",),
    "TORCH_ALLOW_TF32_CUBLAS_OVERRIDE": ("1",),
    "NVIDIA_TF32_OVERRIDE": ("1",),
}


@pytest.mark.parametrize("name", REFUSED)
def test_each_value_that_changes_results_is_refused(name: str) -> None:
    for value in HARMFUL[name]:
        with pytest.raises(UserError) as caught:
            check_environment({name: value})
        (line,) = caught.value.lines
        assert line.startswith(f"{name}={value} in the environment")


def test_what_launchers_set_by_themselves_passes() -> None:
    """As `accelerate launch` hands on a configuration without any of these."""
    check_environment(
        {
            "ACCELERATE_MIXED_PRECISION": "no",
            "ACCELERATE_DYNAMO_BACKEND": "NO",
            "ACCELERATE_USE_CPU": "True",
            "ACCELERATE_USE_FSDP": "true",
            "FSDP_ACTIVATION_CHECKPOINTING": "false",
            "FSDP_CPU_RAM_EFFICIENT_LOADING": "false",
            "NVIDIA_TF32_OVERRIDE": "0",
            "DNNL_DEFAULT_FPMATH_MODE": "STRICT",
        }
    )


def test_all_are_told_at_once() -> None:
    with pytest.raises(UserError) as caught:
        check_environment({"ACCELERATE_MIXED_PRECISION": "bf16", "ACCELERATE_USE_DEEPSPEED": "true"})
    assert len(caught.value.lines) == 2


def test_neither_a_run_nor_a_recommendation_begins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The case of an accelerate configuration with mixed precision, whose stages a plain run would reuse."""
    monkeypatch.setenv("ACCELERATE_MIXED_PRECISION", "bf16")
    (tmp_path / "s.yaml").write_text("stages: {tokenize: {use: tokenize}}\n")
    catalogue = Catalogue.discover()
    with pytest.raises(UserError, match="the precision of a stage is its option 'precision'"):
        runner.run_spec(load_spec(tmp_path / "s.yaml", (), catalogue), catalogue, tmp_path / "out", True)
    assert not (tmp_path / "out").exists()
    with pytest.raises(UserError, match="the precision of a stage is its option 'precision'"):
        LoadedRun.load(tmp_path, catalogue)


def test_the_page_lists_what_is_refused_and_no_more() -> None:
    page = (DOCS / "determinism.md").read_text(encoding="utf-8")
    table = page.split("## Refused settings of the environment")[1].split("\n## ")[0]
    rows = [row for row in table.splitlines() if "| refused |" in row]
    assert {name for row in rows for name in re.findall(r"`([A-Z0-9_]+)`", row)} == set(REFUSED)
