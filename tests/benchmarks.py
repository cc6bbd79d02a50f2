"""Scripts of benchmarks/, imported as they are when one of them is run."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

FOLDER = Path(__file__).resolve().parents[1] / "benchmarks"
SMALL = {"hidden_size": 32, "layers": 2, "heads": 2, "kv_heads": 1, "initializer_std": 0.3}


@contextmanager
def importing() -> Iterator[Callable[[str], Any]]:
    """Import such modules by name; they are forgotten in the end, as their names are common ones."""
    before = set(sys.modules)
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(FOLDER))
        yield importlib.import_module
    for name in set(sys.modules) - before:
        if Path(getattr(sys.modules[name], "__file__", None) or "/").is_relative_to(FOLDER):
            del sys.modules[name]


@contextmanager
def on_a_small_model() -> Iterator[Callable[[str], Any]]:
    """The same, where a module's `MODEL` is a small one."""
    from lasar_plugins.backbone.qwen3.config import Qwen3Config

    with importing() as found:

        def script(name: str) -> Any:
            module = found(name)
            if hasattr(module, "MODEL"):
                module.MODEL = Qwen3Config.model_validate({"use": "qwen3", **SMALL})
            return module

        yield script
