"""The model's one step as a program of torch.export, for engines that think and search themselves."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.export import Dim, ExportedProgram
from transformers import Cache, DynamicLayer

from lasar_kit.core.token_tree import additive
from lasar_kit.errors import UserError

PROGRAM = "program/read.pt2"
Read = tuple[Tensor, Tensor, Tensor, Tensor]


class Reader(nn.Module):
    """A causal language model as a function of tensors alone.

    Its weights are arguments too, by their names in `model.safetensors`, so that the program holds none.
    """

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.held = [model]  # no submodule: its weights are not this module's

    def forward(
        self,
        weights: dict[str, Tensor],
        inputs: Float[Tensor, "B Q D"],
        seen: Bool[Tensor, "B Q nodes"],
        position: Int[Tensor, "B Q"],
        keys: Float[Tensor, "N B h P d"],
        values: Float[Tensor, "N B h P d"],
    ) -> Read:
        """Read Q inputs a row behind P cached ones: states, next-token logits, keys and values of all P + Q.

        `seen[b, q]` are the nodes, of the P + Q, that input q of row b attends to, itself among them.
        """
        (model,) = self.held
        states: list[Tensor] = []
        cache = Cache(layers=[_layer(*pair) for pair in zip(keys.unbind(), values.unbind(), strict=True)])
        given = {
            "inputs_embeds": inputs,
            "attention_mask": additive(seen, inputs.dtype),
            "position_ids": position,
            "past_key_values": cache,
            "use_cache": True,
        }
        hook = model.base_model.register_forward_hook(
            lambda module, arguments, output: states.append(output.last_hidden_state)
        )
        try:
            output: Any = torch.func.functional_call(model, weights, (), given)
        finally:
            hook.remove()
        layers: Any = cache.layers
        return (
            states[0],
            output.logits,
            torch.stack([layer.keys for layer in layers]),
            torch.stack([layer.values for layer in layers]),
        )


def _layer(keys: Tensor, values: Tensor) -> Any:
    layer: Any = DynamicLayer()
    layer.lazy_initialization(keys, values)
    layer.keys, layer.values, layer.is_initialized = keys, values, True
    return layer


def write_program(model: Any, folder: Path) -> None:
    """Write the program of a plain model whose weights stand in `folder`; any batch, any number of inputs and
    of cached nodes, none included. `UserError` where layers see windows, or the model cannot be traced."""
    if "sliding_attention" in (getattr(model.config, "layer_types", None) or ()):
        raise UserError("--program: layers of this model attend within windows, which the program does not")
    weights = {
        name: weight
        for file in sorted(folder.glob("*.safetensors"))
        for name, weight in load_file(file).items()
    }
    kind = next(iter(weights.values())).dtype
    config = model.config
    heads = getattr(config, "num_key_value_heads", None) or config.num_attention_heads
    size = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    cached = torch.zeros(config.num_hidden_layers, 2, heads, 5, size, dtype=kind)
    given = (
        weights,
        torch.zeros(2, 3, config.hidden_size, dtype=kind),
        torch.ones(2, 3, 8, dtype=torch.bool),
        torch.arange(5, 8).expand(2, 3),
        cached,
        cached.clone(),
    )
    free: Any = Dim.AUTO
    shapes = (
        dict.fromkeys(weights),
        {0: free, 1: free},
        {0: free, 1: free, 2: free},
        {0: free, 1: free},
        {1: free, 3: free},
        {1: free, 3: free},
    )
    try:
        with torch.no_grad():
            program = torch.export.export(
                Reader(model.cpu().eval()), given, dynamic_shapes=shapes, strict=False
            )
    except Exception as error:
        what = f"{type(error).__name__}: {error}".partition("\n")[0]
        raise UserError(f"--program: torch.export cannot trace this model ({what})") from error
    program._example_inputs = None  # pickled, if they were kept
    (folder / PROGRAM).parent.mkdir()
    torch.export.save(program, folder / PROGRAM)


def load_program(folder: Path) -> ExportedProgram:
    """The program of an exported folder."""
    return torch.export.load(folder / PROGRAM)
