"""The precision of forward passes, as specs name it."""

from typing import Literal

Precision = Literal["fp32", "bf16"]
