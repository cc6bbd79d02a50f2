"""Compilers of training steps, as specs name them."""

from typing import Literal

Compiler = Literal["inductor", "aot_eager"]
