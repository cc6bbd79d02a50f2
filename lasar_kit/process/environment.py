"""Settings that libraries read from the environment and that would change what a spec says.

A launcher's configuration file is among them: `accelerate launch` hands it on as variables. What they decide
stands in no spec and in no key, so a run refuses them (docs/determinism.md lists all).
"""

from __future__ import annotations

import os
from collections.abc import Mapping

from lasar_kit.errors import UserError

_OFF = ("", "no", "false", "0", "none")

REFUSED: dict[str, tuple[tuple[str, ...], str]] = {
    "ACCELERATE_MIXED_PRECISION": (
        (*_OFF, "fp32"),
        "the precision of a stage is its option 'precision'; set mixed_precision to no",
    ),
    "ACCELERATE_DYNAMO_BACKEND": (_OFF, "models are not compiled; set dynamo_backend to no"),
    "ACCELERATE_GRADIENT_ACCUMULATION_STEPS": (
        ("", "1"),
        "a stage accumulates by its option 'gradient_accumulation'; set it to 1",
    ),
    "ACCELERATE_USE_DEEPSPEED": (
        _OFF,
        "DeepSpeed clips, accumulates and rounds by its own configuration; use DDP or FSDP",
    ),
    "ACCELERATE_USE_MEGATRON_LM": (_OFF, "Megatron-LM trains by its own configuration; use DDP or FSDP"),
    "ACCELERATE_USE_PARALLELISM_CONFIG": (_OFF, "models are not split over devices; use DDP or FSDP"),
    "FSDP_ACTIVATION_CHECKPOINTING": (
        _OFF,
        "it spoils the cache that thoughts read; set it to false",
    ),
    "FSDP_CPU_RAM_EFFICIENT_LOADING": (
        _OFF,
        "all processes but one would read no weights, of text encoders and references too; set it to false",
    ),
    "DNNL_DEFAULT_FPMATH_MODE": (("", "strict"), "it narrows float32 products on the CPU; unset it"),
    "ONEDNN_DEFAULT_FPMATH_MODE": (("", "strict"), "it narrows float32 products on the CPU; unset it"),
    "TORCH_ALLOW_TF32_CUBLAS_OVERRIDE": (_OFF, "it narrows float32 products to TF32; unset it"),
    "NVIDIA_TF32_OVERRIDE": (("", "0"), "it narrows float32 products to TF32; unset it"),
}
"""By variable: the values (in small letters) that change nothing, and what to say of others."""


def check_environment(variables: Mapping[str, str] | None = None) -> None:
    """`UserError`, a line each, for variables that would change results behind the spec's back."""
    variables = os.environ if variables is None else variables
    wrong = [
        f"{name}={variables[name]} in the environment (or the launcher's configuration): {advice}"
        for name, (harmless, advice) in REFUSED.items()
        if variables.get(name, "").strip().lower() not in harmless
    ]
    if wrong:
        raise UserError(*wrong)
