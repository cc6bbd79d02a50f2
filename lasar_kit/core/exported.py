"""Saved models that transformers 4 reads as transformers 5 does.

5 moved the base of the rotary positions into a table of its own and renamed a tokenizer class; 4 passes over
the one, taking 10,000 for the base without a word, and does not know the other.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

CONFIG, TOKENIZER_CONFIG = "config.json", "tokenizer_config.json"
CLASSES = {"TokenizersBackend": "PreTrainedTokenizerFast"}
"""Names of tokenizer classes that 4 does not know, and those that both do."""


def for_both_versions(folder: Path) -> None:
    """Add to a folder that transformers 5 saved what transformers 4 reads under other names.

    Rotary parameters that differ by layer have no such names: that model stays one for 5.
    """
    config = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
    _rewrite(folder / CONFIG, config | _rotary(config) | {"torch_dtype": config.get("dtype")})
    tokenizer = json.loads((folder / TOKENIZER_CONFIG).read_text(encoding="utf-8"))
    name = tokenizer.get("tokenizer_class")
    tokenizer["tokenizer_class"] = CLASSES.get(name, name)
    if isinstance(tokenizer.get("extra_special_tokens"), list):  # a table in 4, under which 5 means the same
        tokenizer["additional_special_tokens"] = tokenizer.pop("extra_special_tokens")
    _rewrite(folder / TOKENIZER_CONFIG, tokenizer)


def _rotary(config: dict[str, Any]) -> dict[str, Any]:
    """The rotary parameters by their older names."""
    table = dict(config.get("rope_parameters") or {})
    if "rope_theta" not in table:
        return {}
    rotary = {"rope_theta": table.pop("rope_theta")}
    if "partial_rotary_factor" in table:
        rotary["partial_rotary_factor"] = table.pop("partial_rotary_factor")
    if table.get("rope_type", "default") != "default":
        rotary["rope_scaling"] = table
    return rotary


def _rewrite(path: Path, value: dict[str, Any]) -> None:
    path.write_text(json.dumps(value, indent=2, sort_keys=True) + "\n", encoding="utf-8")
